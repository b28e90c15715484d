"""Fill the artifact folder of a layer or a function; called by the Makefiles that `sam build` runs.

    python -m tools.package dependencies|shared|function|migrations SOURCE ARTIFACTS

The environment chooses for which machine: PLATFORM=local (this one, this Python) or
PLATFORM=lambda (the RUNTIME and ARCHITECTURE of the template). Bytecode goes along, since /opt and
/var/task are read-only and each cold start would compile anew; only the runtime's own minor version
can write it.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from urllib.error import URLError

from tools.environment import ROOT, install

CACHE = ROOT / ".local" / "build"
LAYER_LOCK = ROOT / "requirements" / "layer.lock"
LAYER, TASK = "/opt", "/var/task"
NOT_PACKAGED = shutil.ignore_patterns(
    "__pycache__", "*.pyc", ".mypy_cache", ".ruff_cache", "Makefile", "requirements.txt"
)
# Amazon RDS is signed by an authority of its own, which no system trusts by default:
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html
RDS_AUTHORITIES = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"


@dataclass(frozen=True)
class Target:
    """The machine that will run the code: `architecture` as Lambda calls it, None for this one."""

    python: str
    architecture: str | None

    @property
    def takes_bytecode(self) -> bool:
        """Whether this Python writes bytecode that the target reads."""
        return self.python == "{}.{}".format(*sys.version_info[:2])

    @property
    def key(self) -> str:
        """Tells wheels of different targets apart."""
        return f"{self.architecture or platform.machine()}-{self.python}-{self.takes_bytecode}"


def target() -> Target:
    """The target that PLATFORM, RUNTIME and ARCHITECTURE name."""
    chosen = os.environ.get("PLATFORM", "local")
    if chosen == "local":
        return Target("{}.{}".format(*sys.version_info[:2]), None)
    if chosen == "lambda":
        runtime = os.environ.get("RUNTIME", "python3.13")
        return Target(runtime.removeprefix("python"), os.environ.get("ARCHITECTURE", "arm64"))
    sys.exit(f"PLATFORM is {chosen!r}; it must be local or lambda.")


def dependencies(source: Path, artifacts: Path) -> None:
    """The third-party layer: `python/`, and for Lambda `certificates/rds.pem`."""
    _link(_packages(LAYER_LOCK, f"{LAYER}/python"), artifacts / "python")
    if (source / "certificates").exists():
        shutil.copytree(source / "certificates", artifacts / "certificates")
    elif target().architecture:
        _link(cached("rds", RDS_AUTHORITIES.encode(), _download_authorities), artifacts)


def shared(source: Path, artifacts: Path) -> None:
    """The layer of the product's own rooms."""
    copied = artifacts / "python" / "countersign"
    shutil.copytree(source / "countersign", copied, ignore=NOT_PACKAGED)
    compile_all(copied, f"{LAYER}/python/countersign")


def function(source: Path, artifacts: Path) -> None:
    """One function: its own files, and the packages of its own requirements if it has some."""
    shutil.copytree(source, artifacts, ignore=NOT_PACKAGED, dirs_exist_ok=True)
    compile_all(artifacts, TASK)
    if (source / "requirements.txt").exists():
        _link(_packages(source / "requirements.txt", TASK), artifacts)


def migrations(source: Path, artifacts: Path) -> None:
    """The migrations function carries the revisions and the sample data as well."""
    function(source, artifacts)
    copied = artifacts / "migrations"
    shutil.copytree(ROOT / "migrations", copied, ignore=NOT_PACKAGED)
    compile_all(copied, f"{TASK}/migrations")


def _packages(lock: Path, mounted_at: str) -> Path:
    """A folder with the packages of `lock`, installed once for each lock and target."""

    def fill(folder: Path) -> None:
        _install(lock, folder)
        compile_all(folder, mounted_at)

    return cached(f"{lock.stem}-{target().key}", lock.read_bytes() + mounted_at.encode(), fill)


def cached(name: str, content: bytes, fill: Callable[[Path], None]) -> Path:
    """A folder under the cache that `fill` filled when `content` and this script were as now."""
    digest = hashlib.sha256(content + Path(__file__).read_bytes()).hexdigest()[:16]
    folder = CACHE / f"{name}-{digest}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        # Filled aside and renamed, so that a broken build leaves nothing that looks whole.
        with tempfile.TemporaryDirectory(dir=CACHE) as aside:
            fill(Path(aside) / "filled")
            (Path(aside) / "filled").rename(folder)
    return folder


def _install(lock: Path, folder: Path) -> None:
    uv = ["install", "--target", str(folder), "--python", sys.executable, "--link-mode", "copy"]
    pip = ["install", "--target", str(folder)]
    machine = target()
    if machine.architecture:
        arch = {"arm64": "aarch64"}.get(machine.architecture, machine.architecture)
        uv += ["--python-platform", f"{arch}-manylinux_2_28", "--python-version", machine.python]
        uv += ["--only-binary", ":all:"]
        pip += ["--platform", f"manylinux2014_{arch}", "--platform", f"manylinux_2_28_{arch}"]
        pip += ["--implementation", "cp", "--python-version", machine.python]
        pip += ["--only-binary", ":all:"]
    install(lock, [*uv, "--no-deps", "-r"], pip)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for left_over in (".lock", "CACHEDIR.TAG", ".gitignore"):
        (folder / left_over).unlink(missing_ok=True)


def _download_authorities(folder: Path) -> None:
    certificates = folder / "certificates"
    certificates.mkdir(parents=True)
    try:
        with urllib.request.urlopen(RDS_AUTHORITIES, timeout=30) as answer:
            (certificates / "rds.pem").write_bytes(answer.read())
    except URLError as error:
        sys.exit(
            f"{RDS_AUTHORITIES}, the authorities of Amazon RDS, cannot be had ({error.reason}): "
            "save it as layers/dependencies/certificates/rds.pem and try again."
        )


def compile_all(folder: Path, mounted_at: str) -> None:
    """Write bytecode that is never checked against its source, which cannot change any more."""
    if not target().takes_bytecode:
        print(f"No bytecode: the target runs Python {target().python}.", file=sys.stderr)
        return
    compileall.compile_dir(
        folder,
        quiet=2,
        stripdir=str(folder),
        prependdir=mounted_at,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        workers=0,
    )


def _link(source: Path, copied: Path) -> None:
    """Copy a folder by hard links where the disk can: the layers are large."""

    def link(one: str, other: str) -> None:
        Path(other).unlink(missing_ok=True)
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(source, copied, copy_function=link, dirs_exist_ok=True)


if __name__ == "__main__":
    kinds = {"dependencies": dependencies, "shared": shared}
    kinds |= {"function": function, "migrations": migrations}
    kinds[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
