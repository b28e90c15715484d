"""Check what `make build` made: the layers' size, the bytecode, and that handlers import alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools import sam
from tools.environment import ROOT

# Of Lambda's 250 MB for a function and its layers, so that functions have room for their own.
LIMIT_MEGABYTES = 120
LAYERS = ("DependenciesLayer", "SharedLayer")


def main() -> None:
    """Print the size; exit with every fault found."""
    faults = []
    for folder in sam.BUILT.values():
        built = ROOT / folder
        faults += size_faults(built) + bytecode_faults(built) + import_faults(built)
    if faults:
        sys.exit("\n".join(faults))
    print(f"The layers hold {megabytes(ROOT / '.aws-sam/build'):.0f} MB of {LIMIT_MEGABYTES}.")


def megabytes(built: Path) -> float:
    """What the layers in `built` take unzipped."""
    files = (file for layer in LAYERS for file in (built / layer).rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files) / 1e6


def size_faults(built: Path) -> list[str]:
    """That the layers are too large."""
    size = megabytes(built)
    if size <= LIMIT_MEGABYTES:
        return []
    return [f"{built}: the layers hold {size:.0f} MB, the limit is {LIMIT_MEGABYTES}."]


def bytecode_faults(built: Path) -> list[str]:
    """Every module without bytecode, which each cold start would compile."""
    sources = [file for file in built.rglob("*.py") if file.parent.name != "__pycache__"]
    bare = [file for file in sources if not any(_bytecode(file))]
    return [f"{file} has no bytecode." for file in bare]


def _bytecode(source: Path) -> list[Path]:
    return list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))


def import_faults(built: Path) -> list[str]:
    """Every function whose handler does not import from its own files and the layers alone."""
    handlers = sorted(built.glob("*Function/app.py"))
    return [fault for handler in handlers for fault in _import_fault(handler.parent)]


def _import_fault(function: Path) -> list[str]:
    paths = [function, *(function.parent / layer / "python" for layer in LAYERS)]
    code = "import sys; sys.path[:0] = sys.argv[1:]; import app; app.lambda_handler"
    done = subprocess.run(
        # Neither the environment's packages (-S) nor the current folder (-I), nothing written (-B).
        [sys.executable, "-I", "-S", "-B", "-c", code, *map(str, paths)],
        capture_output=True,
        text=True,
        env={"PATH": os.defpath},
    )
    return [f"{function.name} does not import:\n{done.stderr}"] if done.returncode else []


if __name__ == "__main__":
    main()
