"""Hold tables, migrations and `migrations/schema.sql` together.

    python tools/schema.py            write what the revisions make of an empty database
    python tools/schema.py --check    fail where that differs from the file, from the mapped tables,
                                      or from the rules of tenancy (tools/tenancy.py)

Foreign keys stand in the migrations alone (docs/adr/0003-foreign-keys-in-migrations.md), so the
mapped tables must have none.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import pkgutil
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Column, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapper
from sqlalchemy.pool import NullPool

import countersign
from countersign.platform.db import Table
from local import postgres
from migrations.bootstrap import ROLES, bootstrap
from migrations.upgrade import upgrade
from tools import tenancy

SCHEMA = Path(__file__).parent.parent / "migrations" / "schema.sql"
NOT_OURS = "alembic_version"

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.atthasdef
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND c.relname <> %s AND a.attnum > 0 AND NOT a.attisdropped
"""
_PRIMARY_KEYS = """
    SELECT i.indrelid::regclass::text, array_agg(a.attname::text ORDER BY k.position)
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY AS k (number, position)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    JOIN pg_class c ON c.oid = i.indrelid
    WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace
    GROUP BY 1
"""
_CHECKS = """
    SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND conrelid <> 0
"""
# `col = ANY (ARRAY['a'::text, 'b'::text])`, or `col = 'a'::text` where there is one value only.
_LIST = re.compile(r"CHECK \(\((\w+) = (?:ANY \(ARRAY\[)?((?:'[^']*'::text(?:, )?)+)(?:\]\))?\)\)")
_VALUE = re.compile(r"'([^']*)'::text")
# What pg_dump says of itself, of its server and of the session; and the owner, who is always one.
_NOISE = re.compile(
    r"--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict |ALTER .* OWNER TO app_owner;"
)
HEADER = "-- What the revisions make of an empty database. Written by `make schema`.\n\n"

Connection = psycopg.Connection[Any]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on differences")
    check = parser.parse_args(arguments).check
    with upgraded() as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            problems = differences(connection) + tenancy.problems(connection)
        made = dump(conninfo)
    if check:
        problems += _file_differs(made)
    else:
        SCHEMA.write_text(made, "utf-8")
        print(f"Wrote {SCHEMA.relative_to(Path.cwd())}.")
    if problems:
        sys.exit("\n".join(problems))


@contextmanager
def upgraded() -> Iterator[str]:
    """How to enter, as `app_owner`, a new database of a cluster of its own, with every revision."""
    passwords = {role: secrets.token_urlsafe(16) for role in ROLES}
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.running(Path(folder), fsync=False) as cluster,
    ):
        with psycopg.connect(cluster.conninfo(), autocommit=True) as master:
            bootstrap(master, passwords)
        entered = cluster.conninfo(user="app_owner", password=passwords["app_owner"])
        owner = create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(entered), poolclass=NullPool
        )
        with owner.connect() as connection:
            upgrade(connection, "post")
        yield entered


def dump(conninfo: str) -> str:
    """The schema as SQL, with policies and grants; the same text each time."""
    values = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    password = values.pop("password")
    command = [postgres.binary("pg_dump"), "--schema-only", "--no-comments"]
    result = subprocess.run(
        [*command, make_conninfo(**values)],
        env={**os.environ, "PGPASSWORD": password},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = [line for line in result.stdout.splitlines() if not _NOISE.match(line)]
    return HEADER + re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def differences(connection: Connection) -> list[str]:
    """Where the mapped tables are not those of the database, a line each."""
    mapped = {table.name: table for table in mapped_tables()}
    there: dict[str, dict[str, tuple[str, bool, bool]]] = {}
    for table, column, *described in connection.execute(_COLUMNS, [NOT_OURS]):
        there.setdefault(table, {})[column] = (described[0], described[1], described[2])
    keys = dict(connection.execute(_PRIMARY_KEYS).fetchall())
    found = _unequal("table", set(mapped), set(there))
    for name in sorted(mapped.keys() & there.keys()):
        columns = {column.name: _described(column) for column in mapped[name].columns}
        found += _unequal(f"column of {name}:", set(columns), set(there[name]))
        for column in sorted(columns.keys() & there[name].keys()):
            found += _column_differs(f"{name}.{column}", columns[column], there[name][column])
        key = [column.name for column in mapped[name].primary_key]
        if key != keys.get(name):
            found.append(f"{name}: the mapped primary key is {key}, the database's {keys[name]}.")
        if mapped[name].foreign_keys:
            found.append(f"{name}: a mapped table has no foreign keys; they stand in migrations.")
    return found + _lists_differ(connection)


def mapped_tables() -> list[Any]:
    """Every mapped table, of all rooms."""
    for module in pkgutil.walk_packages(countersign.__path__, "countersign."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)
    return list(Table.metadata.tables.values())


def _described(column: Column[Any]) -> tuple[str, bool, bool]:
    """Type as Postgres writes it, whether it may be null, whether the database has a value."""
    type_ = column.type.compile(dialect=postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    has_default = column.server_default is not None or column.computed is not None
    return "text" if type_ == "varchar" else type_, bool(column.nullable), has_default


def _column_differs(
    name: str, mapped: tuple[str, bool, bool], there: tuple[str, bool, bool]
) -> Iterator[str]:
    words = ("of type", "nullable:", "with a default:")
    for word, one, other in zip(words, mapped, there, strict=True):
        if one != other:
            yield f"{name} is mapped {word} {one}, but in the database {word} {other}."


def _lists_differ(connection: Connection) -> list[str]:
    """Where a `Literal` and the CHECK of its column do not list the same words."""
    checked = {}
    for table, definition in connection.execute(_CHECKS):
        if match := _LIST.fullmatch(definition):
            checked[f"{table}.{match[1]}"] = set(_VALUE.findall(match[2]))
    literal = _literals()
    found = _unequal("list of values:", set(literal), set(checked))
    for name in sorted(literal.keys() & checked.keys()):
        found += _unequal(f"value of {name}:", literal[name], checked[name])
    return found


def _literals() -> dict[str, set[str]]:
    """The words of each column whose annotation is a `Literal`."""
    found = {}
    for mapper in Table.registry.mappers:
        hints = get_type_hints(mapper.class_)
        for attribute in mapper.column_attrs:
            words = _words(get_args(hints[attribute.key])[0])
            if words:
                found[_name(mapper, attribute.key)] = words
    return found


def _words(annotation: Any) -> set[str]:
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {word for part in get_args(annotation) for word in _words(part)}


def _name(mapper: Mapper[Any], attribute: str) -> str:
    column = mapper.columns[attribute]
    return f"{column.table.name}.{column.name}"


def _unequal(what: str, mapped: set[str], there: set[str]) -> list[str]:
    missing = [f"{what} {name} is mapped, but not in the database." for name in mapped - there]
    return sorted(
        missing + [f"{what} {name} is in the database, but not mapped." for name in there - mapped]
    )


def _file_differs(made: str) -> list[str]:
    written = SCHEMA.read_text("utf-8") if SCHEMA.exists() else ""
    return [
        *difflib.unified_diff(
            written.splitlines(),
            made.splitlines(),
            "migrations/schema.sql",
            "what the revisions make",
            lineterm="",
        ),
        *(["Run `make schema` and check in migrations/schema.sql."] if made != written else []),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
