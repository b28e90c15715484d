"""Make a virtual environment hold exactly what a lock file says; nothing to do, nothing done.

    python3 tools/environment.py .local/venv requirements/dev.lock

Needs no more than Python's own venv and pip. pip installs uv (hash-checked) into `.local/uv`, and
uv does the rest, in seconds instead of minutes. Where uv does not reach the package index, as on
a machine whose pip is configured for another one, pip does the rest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".local" / "uv"
UV_LOCK = ROOT / "requirements" / "uv.lock"
OLDEST = (3, 11)
PIP_OPTIONS = ["--disable-pip-version-check", "--no-deps", "--require-hashes", "-r"]
STAMP = ".lock-fingerprint"


def main(arguments: list[str]) -> None:
    """Bring the environment of the first argument in step with the lock of the second."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Countersign needs Python {OLDEST[0]}.{OLDEST[1]} or newer, this is "
            f"{sys.version.split()[0]}: run make with PYTHON=/path/to/a/newer/python3."
        )
    for folder, lock in ((UV, UV_LOCK), (Path(arguments[0]), Path(arguments[1]))):
        if not _is_current(folder, lock):
            _build(folder, lock)


def _is_current(folder: Path, lock: Path) -> bool:
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == _fingerprint(lock)


def _fingerprint(lock: Path) -> str:
    return f"{sys.version_info[:2]} {hashlib.sha256(lock.read_bytes()).hexdigest()}\n"


def _build(folder: Path, lock: Path) -> None:
    print(f"Installing {lock.name} into {folder} …", file=sys.stderr, flush=True)
    (folder / STAMP).unlink(missing_ok=True)
    if not _has_this_python(folder):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", *_without_pip(folder), str(folder)])
    python = str(python_of(folder))
    if folder == UV:
        _run([python, "-m", "pip", "--quiet", "install", *PIP_OPTIONS, str(lock)])
    else:
        install(lock, ["sync", "--python", python], ["--python", python, "install"])
    (folder / STAMP).write_text(_fingerprint(lock))


def _without_pip(folder: Path) -> list[str]:
    return [] if folder == UV else ["--without-pip"]


def _has_this_python(folder: Path) -> bool:
    code = "import sys; print(sys.version_info[:2])"
    try:
        found = subprocess.run(
            [str(python_of(folder)), "-c", code], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return found.stdout.strip() == str(sys.version_info[:2])


def python_of(folder: Path) -> Path:
    """The interpreter of the environment in `folder`."""
    return folder / "bin" / "python"


def install(lock: Path, uv: list[str], pip: list[str]) -> None:
    """Install the packages of `lock`, hashes checked, by `uv pip` with its options, else by pip."""
    command = [str(UV / "bin" / "uv"), "--quiet", "pip", *uv, str(lock)]
    # The certificates that the machine trusts, as pip does.
    options = {"UV_SYSTEM_CERTS": "true", "UV_REQUIRE_HASHES": "true"}
    try:
        subprocess.run(command, check=True, env={**options, **os.environ})
    except (OSError, subprocess.CalledProcessError):
        print("uv could not; installing with pip, which takes longer.", file=sys.stderr)
        _run([str(python_of(UV)), "-m", "pip", "--quiet", *pip, *PIP_OPTIONS, str(lock)])


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(command)} failed with exit code {error.returncode}; see above.")


if __name__ == "__main__":
    main(sys.argv[1:])
