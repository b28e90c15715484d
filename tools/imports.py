"""Check what handlers import: the product's rooms, little else, and nothing that slows their start.

The order of the rooms themselves is import-linter's, in pyproject.toml.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.environment import ROOT

HANDLERS = ROOT / "functions"
PRODUCT = ROOT / "layers" / "shared"
OWN = {"countersign", "aws_lambda_powertools"}
# The migrations function is no handler of the path: it runs Alembic, as the database's owner.
MORE = {"migrations": {"migrations", "psycopg", "sqlalchemy", "alembic", "boto3"}}
# Each costs more at start than what it gives: a Tracer alone 266 ms, even when disabled.
SLOW = (
    "aws_lambda_powertools.tracing",
    "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools.utilities.idempotency",
    "aws_lambda_powertools.utilities.parser",
)
# What only develops, runs or tests the product.
AROUND = {"local", "tests", "bench", "tools"}


def main() -> None:
    """Exit with every import that should not be."""
    faults = []
    for file in sorted(HANDLERS.glob("*/*.py")):
        allowed = OWN | MORE.get(file.parent.name, set())
        faults += handler_faults(file, allowed)
    for file in sorted([*PRODUCT.rglob("*.py"), *HANDLERS.glob("*/*.py")]):
        faults += product_faults(file)
    if faults:
        sys.exit("\n".join(faults))
    print("Handlers import what they may.")


def handler_faults(file: Path, allowed: set[str]) -> list[str]:
    """Imports in `file` of packages that are neither Python's nor `allowed`."""
    return [
        f"{file}:{line}: a handler does not import {name}; call a function of a room."
        for name, line in imports(file)
        if name.split(".")[0] not in allowed | sys.stdlib_module_names
    ]


def product_faults(file: Path) -> list[str]:
    """Imports in `file` that no function may have in its package."""
    return [
        f"{file}:{line}: the product does not import {name}."
        for name, line in imports(file)
        if name.startswith(SLOW) or name.split(".")[0] in AROUND
    ]


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """Every module that `file` imports anywhere, with its line."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from ((each.name, node.lineno) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno


if __name__ == "__main__":
    main()
