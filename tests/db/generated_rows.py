"""One row of each table for an organization, made from the catalogue alone.

A new table is covered without being named here, as long as its CHECKs can be met by the first value
they list, by 1, or by 64 hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from tools.tenancy import FOREIGN_KEYS, OF_MEMBERS

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.atthasdef
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND c.relname <> 'alembic_version' AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = ''
    ORDER BY c.relname, a.attnum
"""
_CHECKS = """
    SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND conrelid <> 0
"""
_FIRST = re.compile(r"CHECK \(\((\w+) = ANY \(ARRAY\['([^']*)'::text")
_VALUES: dict[str, Any] = {
    "integer": 1,
    "bigint": 1,
    "jsonb": "{}",
    "timestamp with time zone": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "text[]": [],
    "boolean": True,
}

Connection = psycopg.Connection[Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    required: bool
    has_default: bool


@dataclass(frozen=True)
class Key:
    """A foreign key."""

    table: str
    name: str
    target: str
    columns: tuple[str, ...]
    referenced: tuple[str, ...]


@dataclass
class Catalogue:
    """What the database says of its tables."""

    columns: dict[str, list[Column]] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)
    first_values: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def tenant_tables(self) -> list[str]:
        """The tables of tenants; in `organizations` the key is called `id`."""
        named = [t for t, cs in self.columns.items() if any(map(_is_tenant, cs))]
        return [*named, "organizations"]

    def tenant_key(self, table: str) -> str:
        return "id" if table == "organizations" else "organization_id"


def _is_tenant(column: Column) -> bool:
    return column.name == "organization_id"


def read(connection: Connection) -> Catalogue:
    made = Catalogue()
    for table, *column in connection.execute(_COLUMNS):
        made.columns.setdefault(table, []).append(Column(*column))
    for table, name, target, columns, referenced in connection.execute(FOREIGN_KEYS):
        made.keys.append(Key(table, name, target, tuple(columns), tuple(referenced)))
    for table, definition in connection.execute(_CHECKS):
        if match := _FIRST.match(definition):
            made.first_values[table, match[1]] = match[2]
    return made


@dataclass
class Tenant:
    """An organization's rows, by table."""

    catalogue: Catalogue
    id: UUID = field(default_factory=uuid4)
    rows: dict[str, Row] = field(default_factory=dict)

    def fill(self, connection: Connection, shared: dict[str, Row]) -> None:
        """Insert a row into each table; `shared` are those of tables that all tenants use."""
        self.rows |= shared
        left = [table for table in self.catalogue.columns if table not in self.rows]
        while left:
            table = min(left, key=lambda name: (self._missing(name), name))
            assert not self._missing(table)[0], f"no order of insertion leads to {left}"
            left.remove(table)
            self.rows[table] = insert(connection, table, self.row(table))
        for key in self.catalogue.keys:
            self._point(connection, key)

    def _missing(self, table: str) -> tuple[int, int]:
        """How many of a table's foreign keys find no row yet: those that must, those that may."""
        required = {c.name for c in self.catalogue.columns[table] if c.required}
        missing = [
            set(key.columns) <= required
            for key in self.catalogue.keys
            if key.table == table and key.target not in self.rows and key.target != table
        ]
        return missing.count(True), missing.count(False)

    def row(self, table: str) -> Row:
        """A new row's values; its foreign keys point to the rows that are there."""
        made = {
            column.name: self._value(table, column)
            for column in self.catalogue.columns[table]
            if (column.required and not column.has_default) or column.name == "id"
        }
        if table == "organizations":
            made["id"] = self.id
        for key in self.catalogue.keys:
            if key.table == table and key.target in self.rows:
                target = self.rows[key.target]
                pairs = zip(key.columns, key.referenced, strict=True)
                made |= {column: target[referenced] for column, referenced in pairs}
        return made

    def _value(self, table: str, column: Column) -> Any:
        if column.name == "organization_id":
            return self.id
        if (table, column.name) in self.catalogue.first_values:
            return self.catalogue.first_values[table, column.name]
        if column.type == "uuid":
            return uuid4()
        digest = hashlib.sha256(uuid4().bytes)
        if column.type in ("text", "citext"):
            return digest.hexdigest()
        if column.type == "bytea":
            return digest.digest()
        if match := re.fullmatch(r"vector\((\d+)\)", column.type):
            return str([1] * int(match[1]))
        return _VALUES[column.type]

    def _point(self, connection: Connection, key: Key) -> None:
        """Set a foreign key that could not be set when its row was inserted."""
        row, target = self.rows[key.table], self.rows[key.target]
        missing = {
            column: target[referenced]
            for column, referenced in zip(key.columns, key.referenced, strict=True)
            if row[column] is None
        }
        if missing:
            update(connection, key.table, self.key_of(key.table), missing)
            row |= missing

    def key_of(self, table: str) -> Row:
        """What finds this tenant's row of a table, whichever role looks."""
        name = self.catalogue.tenant_key(table)
        return {name: self.id} if table in self.catalogue.tenant_tables else {}


def insert(connection: Connection, table: str, row: Row) -> Row:
    """Insert `row`; returns it with what the database added."""
    cursor = connection.execute(_insertion(table, row) + sql.SQL(" RETURNING *"), [*row.values()])
    assert cursor.description
    names = [column.name for column in cursor.description]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def insert_unseen(connection: Connection, table: str, row: Row) -> None:
    """Insert `row` without reading it back, which would ask for the right to see it as well."""
    connection.execute(_insertion(table, row), list(row.values()))


def _insertion(table: str, row: Row) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
    )


def update(connection: Connection, table: str, where: Row, values: Row) -> int:
    """Set `values` in the rows where all of `where` is; returns how many there were.

    Without `where` no row is read, so that the right to see them is not asked for.
    """
    statement = sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), _pairs(values, ", "))
    if where:
        statement += sql.SQL(" WHERE {}").format(_pairs(where, " AND "))
    return connection.execute(statement, [*values.values(), *where.values()]).rowcount


def delete(connection: Connection, table: str, where: Row) -> int:
    """Delete the rows where all of `where` is; returns how many there were."""
    statement = sql.SQL("DELETE FROM {} WHERE {}").format(
        sql.Identifier(table), _pairs(where, " AND ")
    )
    return connection.execute(statement, list(where.values())).rowcount


def _pairs(values: Row, between: str) -> sql.Composed:
    one = sql.SQL("{} = %s")
    return sql.SQL(between).join(one.format(sql.Identifier(name)) for name in values)


def two_tenants(connection: Connection) -> tuple[Tenant, Tenant]:
    """Two tenants with a row in every table; `connection` sees and may write them all."""
    catalogue = read(connection)
    one, other = Tenant(catalogue), Tenant(catalogue)
    shared = {
        table: insert(connection, table, one.row(table))
        for table in catalogue.columns
        if table not in [*catalogue.tenant_tables, *OF_MEMBERS]
    }
    one.fill(connection, shared)
    other.fill(connection, shared)
    return one, other
