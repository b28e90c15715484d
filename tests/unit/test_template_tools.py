"""The tools behind `make`: environments, packages, and the checks of what was built."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import deploy, environment, imports, layers, package


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What `tools.environment` would run; a new environment gets an interpreter, nothing else."""
    seen: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        if command[1:3] == ["-m", "venv"]:
            (Path(command[-1]) / "bin").mkdir(parents=True)
        return subprocess.CompletedProcess(command, 0, stdout=f"{sys.version_info[:2]}\n")

    monkeypatch.setattr(subprocess, "run", run)
    return seen


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environment, "UV", tmp_path / "uv")
    monkeypatch.setattr(environment, "UV_LOCK", tmp_path / "uv.lock")
    environment.UV_LOCK.write_text("uv==1\n")
    lock = tmp_path / "dev.lock"
    lock.write_text("one==1\n")
    return lock


def test_an_environment_is_filled_once_for_each_lock(
    commands: list[list[str]], lock: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "venv"
    folder.mkdir()
    environment.UV.mkdir()
    environment.main([str(folder), str(lock)])
    assert [command for command in commands if "sync" in command]
    commands.clear()
    environment.main([str(folder), str(lock)])
    assert commands == []
    lock.write_text("one==2\n")
    environment.main([str(folder), str(lock)])
    assert [command[-1] for command in commands if "sync" in command] == [str(lock)]


def test_pip_does_what_uv_cannot(
    monkeypatch: pytest.MonkeyPatch, lock: Path, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def run(command: list[str], **options: object) -> None:
        seen.append(command)
        if command[0].endswith("uv"):
            raise subprocess.CalledProcessError(2, command)

    monkeypatch.setattr(subprocess, "run", run)
    environment.install(lock, ["sync"], ["--python", "there", "install"])
    assert [command[0].rsplit("/")[-1] for command in seen] == ["uv", "python"]
    assert seen[1][-2:] == ["-r", str(lock)]
    assert {"--python", "there", "--require-hashes", "--no-deps"} <= set(seen[1])


def test_an_old_python_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "OLDEST", (9, 9))
    with pytest.raises(SystemExit, match=r"needs Python 9\.9 or newer"):
        environment.main(["venv", "lock"])


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PLATFORM": "local"}, package.Target("{}.{}".format(*sys.version_info[:2]), None)),
        ({"PLATFORM": "lambda"}, package.Target("3.13", "arm64")),
        (
            {"PLATFORM": "lambda", "RUNTIME": "python3.14", "ARCHITECTURE": "x86_64"},
            package.Target("3.14", "x86_64"),
        ),
    ],
)
def test_platform_chooses_the_machine(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: package.Target
) -> None:
    for name in ("PLATFORM", "RUNTIME", "ARCHITECTURE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert package.target() == expected


def test_an_unknown_platform_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM", "windows")
    with pytest.raises(SystemExit, match="must be local or lambda"):
        package.target()


def make_function(folder: Path) -> Path:
    source = folder / "source"
    (source / "__pycache__").mkdir(parents=True)
    (source / "app.py").write_text("VALUE = 1\n")
    (source / "__pycache__" / "app.cpython-30.pyc").write_bytes(b"stale")
    (source / "Makefile").write_text("build-X:\n")
    return source


def test_a_function_is_packaged_alone_with_bytecode_that_needs_no_source_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLATFORM", "local")
    built = tmp_path / "built"
    package.function(make_function(tmp_path), built)
    compiled = Path(importlib.util.cache_from_source(str(built / "app.py")))
    files = {file for file in built.rglob("*") if file.is_file()}
    assert files == {built / "app.py", compiled}
    # PEP 552: bit 0 says that the source's hash is inside, bit 1 that it is to be compared.
    assert compiled.read_bytes()[4:8] == b"\x01\0\0\0"
    assert b"/var/task/app.py" in compiled.read_bytes()


def test_only_the_runtimes_own_python_writes_bytecode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLATFORM", "lambda")
    monkeypatch.setenv("RUNTIME", "python3.99")
    built = tmp_path / "built"
    package.function(make_function(tmp_path), built)
    assert [file.name for file in built.rglob("*") if file.is_file()] == ["app.py"]


def test_what_is_built_has_bytecode_fits_and_imports_alone(tmp_path: Path) -> None:
    python = tmp_path / "SharedLayer" / "python"
    python.mkdir(parents=True)
    (python / "here.py").write_text("")
    (tmp_path / "GoodFunction").mkdir()
    (tmp_path / "GoodFunction" / "app.py").write_text("import here\nlambda_handler = here\n")
    (tmp_path / "BadFunction").mkdir()
    (tmp_path / "BadFunction" / "app.py").write_text("import pytest\nlambda_handler = 1\n")
    (fault,) = layers.import_faults(tmp_path)
    assert fault.startswith("BadFunction does not import")
    assert "No module named 'pytest'" in fault
    assert len(layers.bytecode_faults(tmp_path)) == 3
    assert layers.size_faults(tmp_path) == []
    with (python / "large.bin").open("wb") as large:
        os.truncate(large.fileno(), 121 * 10**6)
    assert "the layers hold 121 MB" in layers.size_faults(tmp_path)[0]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("import boto3", "does not import boto3"),
        ("from sqlalchemy import text", "does not import sqlalchemy"),
        ("import json", None),
        ("from countersign.platform import queues", None),
    ],
)
def test_handlers_call_rooms_not_libraries(line: str, fault: str | None, tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text(f"def later() -> None:\n    {line}\n")
    found = imports.handler_faults(file, imports.OWN)
    assert (fault in found[0]) if fault else (found == [])


@pytest.mark.parametrize(
    "line", ["from aws_lambda_powertools.tracing import Tracer", "from local.aws import running"]
)
def test_nothing_slow_and_nothing_from_around_is_imported(line: str, tmp_path: Path) -> None:
    file = tmp_path / "room.py"
    file.write_text(line)
    assert "the product does not import" in imports.product_faults(file)[0]


def test_a_deploy_with_another_python_says_which_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_configured", lambda: {"Runtime": "python3.99"})
    with pytest.raises(SystemExit, match=r"make deploy PYTHON=python3\.99"):
        deploy.main("countersign")


LOCKS = [
    *sorted((environment.ROOT / "requirements").glob("*.lock")),
    *sorted((environment.ROOT / "functions").glob("*/requirements.txt")),
]


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_lock_holds_versions_and_hashes_and_no_addresses(file: Path) -> None:
    text = file.read_text()
    pinned = re.split(r"^(?=[a-z])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE), flags=re.M)
    assert all(re.match(r"[a-z][\w.-]*(\[[\w,-]+\])?==\S+", each) for each in pinned if each)
    assert all("--hash=sha256:" in each for each in pinned if each)
    assert not re.search(r"://|--(extra-)?index|--find-links|^-[a-z]", text, re.MULTILINE)
