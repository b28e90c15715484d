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
        _run([sys.executable, "-m", "venv", *([] if folder == UV else ["--without-pip"]), str(folder)])
    if folder == UV or not _sync_with_uv(folder, lock):
        _install_with_pip(folder, lock)
    (folder / STAMP).write_text(_fingerprint(lock))


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


def _sync_with_uv(folder: Path, lock: Path) -> bool:
    command = [str(UV / "bin" / "uv"), "pip", "sync", "--quiet", "--require-hashes"]
    command += ["--python", str(python_of(folder)), str(lock)]
    # The certificates that the machine trusts, as pip does.
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ}
    try:
        subprocess.run(command, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        print("uv could not; installing with pip, which takes longer.", file=sys.stderr)
        return False
    return True


def _install_with_pip(folder: Path, lock: Path) -> None:
    pip = [str(python_of(UV)), "-m", "pip", "--python", str(python_of(folder))]
    _run(
        [*pip, "install", "--quiet", "--disable-pip-version-check"]
        + ["--no-deps", "--require-hashes", "-r", str(lock)]
    )


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(command)} failed with exit code {error.returncode}; see above.")


if __name__ == "__main__":
    main(sys.argv[1:])
