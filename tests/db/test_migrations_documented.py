"""docs/data-model.md draws every table and every foreign key, and no column that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import TestDatabase
from tests.db import generated_rows
from tests.db.generated_rows import Catalogue, Key

DOCUMENT = Path(__file__).parents[2] / "docs" / "data-model.md"
SHORT = {
    "timestamptz": "timestamp with time zone",
    "int": "integer",
    "text_list": "text[]",
    "vector": "vector(1536)",
}
_DIAGRAM = re.compile(r"```mermaid\nerDiagram\n(.*?)```", re.DOTALL)
_ENTITY = re.compile(r"^    (\w+) \{\n(.*?)^    \}", re.DOTALL | re.MULTILINE)
_RELATION = re.compile(r"^    (\w+) (\|\||\|o)--(o\||o\{) (\w+) : (\w+)$", re.MULTILINE)
# In every table, so that the diagrams leave it out where there is nothing more to say.
_DRAWN_OF_ORGANIZATIONS = {"api_keys", "organization_memberships", "organization_settings"}


def diagrams() -> str:
    return "\n".join(_DIAGRAM.findall(DOCUMENT.read_text("utf-8")))


def catalogue(database: TestDatabase) -> Catalogue:
    with database.connect() as connection:
        return generated_rows.read(connection)


def test_every_table_is_drawn_with_columns_that_it_has(database: TestDatabase) -> None:
    there = catalogue(database).columns
    drawn = {name: body.split("\n") for name, body in _ENTITY.findall(diagrams())}
    assert set(drawn) == set(there)
    for table, lines in drawn.items():
        columns = {column.name: column.type for column in there[table]}
        if table == "chunks":
            columns["search"] = "tsvector"
        for type_, name, *_ in filter(None, map(str.split, lines)):
            assert columns.get(name) == SHORT.get(type_, type_), f"{table}.{name}"


def test_every_foreign_key_is_drawn_as_it_is(database: TestDatabase) -> None:
    known = catalogue(database)
    drawn = {
        (target, ends[0] == "|o", table, column)
        for target, *ends, table, column in _RELATION.findall(diagrams())
    }
    assert drawn == {
        (key.target, _may_be_absent(known, key), key.table, _named(key))
        for key in known.keys
        if key.target != "organizations" or key.table in _DRAWN_OF_ORGANIZATIONS
    }


def _may_be_absent(known: Catalogue, key: Key) -> bool:
    return any(not c.required for c in known.columns[key.table] if c.name in key.columns)


def _named(key: Key) -> str:
    return next((c for c in key.columns if c != "organization_id"), "organization_id")
