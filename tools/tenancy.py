"""The rules that every table keeps: whose rows it shows to whom, and what its keys point to.

A table with `organization_id` is a tenant's. What a rule excepts is listed here, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

TENANT_SETTING = "(NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid"

# Tables of no tenant, and what `app_rw` and `app_ro` may do with them.
SHARED = {
    "alembic_version": ({}, {}),
    "embedding_spaces": ({"SELECT", "INSERT"}, {"SELECT"}),
    "identities": ({"SELECT"}, {"SELECT"}),
    "users": ({"SELECT"}, {"SELECT"}),
}
# Those whose rows an organization sees through its memberships.
OF_MEMBERS = {"identities", "users"}
# What the sweepers need of all tenants at once.
SYSTEM = {
    "audit_checkpoints": {"SELECT", "INSERT"},
    "audit_events": {"SELECT"},
    "idempotency_keys": {"SELECT", "DELETE"},
    "organizations": {"SELECT"},
    "outbox": {"SELECT", "DELETE"},
}
# Secrets' hashes, answers kept for a retry, promises, work half done: nothing to analyse.
NOT_FOR_ANALYTICS = {"api_keys", "idempotency_keys", "outbox"}
APPEND_ONLY = {"audit_events"}
# What must be found before a tenant is known, and what finds words by an index.
SECURITY_DEFINERS = {
    "chunks_frequencies",
    "chunks_with_any",
    "find_api_key",
    "find_mail_channels",
    "find_refreshes",
    "messages_frequencies",
    "messages_with_any",
}
# Columns that name something of several tables, or something outside.
POINTS_ANYWHERE = {"audit_events.stream_id", "model_usage.subject_id"}
# What is looked up across tenants: by the sweepers, before a tenant is known, or for a user.
INDEXED_ACROSS_TENANTS = {
    "ix_idempotency_keys_created_at",
    "ix_organization_memberships_user_id",
    "ix_outbox_not_before",
    "organizations_pkey",
    "uq_api_keys_id",
    "uq_audit_events_stream_id_seq",
    "uq_channels_inbound_address",
    "uq_channels_mail_address",
    "uq_organizations_slug",
}

_TABLES = """
    SELECT c.oid::regclass::text, c.relrowsecurity AND c.relforcerowsecurity,
           pg_get_userbyid(c.relowner),
           EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attname = 'organization_id')
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    ORDER BY 1
"""
_POLICIES = """
    SELECT tablename, policyname, roles::text[], cmd, qual, with_check
    FROM pg_policies WHERE schemaname = 'public' ORDER BY 1, 2
"""
_GRANTS = """
    SELECT c.oid::regclass::text, coalesce(r.rolname, 'PUBLIC'), array_agg(a.privilege_type)
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
    LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
        AND a.grantee <> c.relowner
    GROUP BY 1, 2
"""
_COLUMN_GRANTS = """
    SELECT a.attrelid::regclass::text, a.attname FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attacl IS NOT NULL
"""
_FUNCTIONS = """
    SELECT proname,
           coalesce(proconfig::text LIKE '%search_path=%', false),
           coalesce((SELECT bool_or(a.grantee = 0) FROM aclexplode(proacl) a), true)
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
"""
_VIEWS = """
    SELECT oid::regclass::text, coalesce('security_invoker=true' = ANY (reloptions), false)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
"""
# Each foreign key with its columns, and those that they point to, in order.
FOREIGN_KEYS = """
    SELECT k.conrelid::regclass::text, k.conname, k.confrelid::regclass::text,
           (SELECT array_agg(a.attname::text ORDER BY n.position)
            FROM unnest(k.conkey) WITH ORDINALITY AS n (number, position)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.number),
           (SELECT array_agg(a.attname::text ORDER BY n.position)
            FROM unnest(k.confkey) WITH ORDINALITY AS n (number, position)
            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.number)
    FROM pg_constraint k
    WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
    ORDER BY 1, 2
"""
_INDEXES = """
    SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, a.attname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE c.relnamespace = 'public'::regnamespace
"""
_UUIDS = """
    SELECT c.oid::regclass::text, a.attname FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND a.atttypid = 'uuid'::regtype AND a.attname <> 'id' AND a.attnum > 0
"""

Connection = psycopg.Connection[Any]


def problems(connection: Connection) -> list[str]:
    """Where the database breaks a rule, a line each."""
    tenants = tenant_tables(connection)
    return [
        *_tables(connection, tenants),
        *_policies(connection, tenants),
        *_grants(connection, tenants),
        *_functions_and_views(connection),
        *_foreign_keys(connection, tenants),
        *_indexes(connection, tenants),
    ]


def tenant_tables(connection: Connection) -> dict[str, str]:
    """The column that names the tenant, of each of the tenants' tables."""
    found = {row[0]: "organization_id" for row in connection.execute(_TABLES) if row[3]}
    return {"organizations": "id", **found}


def _tables(connection: Connection, tenants: dict[str, str]) -> Iterator[str]:
    for table, secured, owner, _ in connection.execute(_TABLES):
        if owner != "app_owner":
            yield f"{table} belongs to {owner}; app_owner must own it."
        if table not in tenants and table not in SHARED:
            yield f"{table} has no organization_id: give it one, or list it as SHARED."
        if (table in tenants or table in OF_MEMBERS) and not secured:
            yield f"{table} lacks forced row-level security: protect() it."


def _policies(connection: Connection, tenants: dict[str, str]) -> Iterator[str]:
    policies: dict[str, dict[str, tuple[Any, ...]]] = {}
    for table, name, roles, *rest in connection.execute(_POLICIES):
        policies.setdefault(table, {})[name] = (frozenset(roles), *rest)
    for table, key in tenants.items():
        readers = {"app_rw"} if table in NOT_FOR_ANALYTICS else {"app_rw", "app_ro"}
        own = f"({key} = {TENANT_SETTING})"
        wanted: dict[str, tuple[Any, ...]] = {
            "owner": (frozenset({"app_owner"}), "ALL", "true", "true"),
            "tenant": (frozenset(readers), "ALL", own, own),
        }
        if table in SYSTEM:
            wanted["system"] = (frozenset({"app_system"}), "ALL", "true", None)
        there = policies.get(table, {})
        for name in sorted(wanted.keys() | there.keys()):
            if wanted.get(name) != there.get(name):
                yield (
                    f"{table}: the policy {name} is {_said(there.get(name))}; "
                    f"it must be {_said(wanted.get(name))}."
                )


def _said(policy: tuple[Any, ...] | None) -> str:
    if policy is None:
        return "absent"
    roles, command, using, check = policy
    return f"{command} to {', '.join(sorted(roles))} using {using} with check {check}"


def _grants(connection: Connection, tenants: dict[str, str]) -> Iterator[str]:
    granted: dict[str, dict[str, set[str]]] = {}
    for relation, role, privileges in connection.execute(_GRANTS):
        granted.setdefault(relation, {})[role] = set(privileges)
    for table, column in connection.execute(_COLUMN_GRANTS):
        yield f"{table}.{column} has a grant of its own; grant on tables."
    for table in sorted(tenants.keys() | SHARED.keys() | granted.keys()):
        grants = granted.get(table, {})
        for role in sorted(grants.keys() - {"app_rw", "app_ro", "app_system"}):
            yield f"{table}: {role} may {_list(grants[role])}; it must not."
        if grants.get("app_system", set()) != SYSTEM.get(table, set()):
            yield (
                f"{table}: app_system may {_list(grants.get('app_system'))}; "
                f"it must be able to {_list(SYSTEM.get(table))}."
            )
        yield from _wrong_grants(table, grants, table in tenants)


def _wrong_grants(table: str, grants: dict[str, set[str]], is_tenants: bool) -> Iterator[str]:
    rw, ro = grants.get("app_rw", set()), grants.get("app_ro", set())
    if table in SHARED:
        if (rw, ro) != tuple(map(set, SHARED[table])):
            yield f"{table}: app_rw may {_list(rw)} and app_ro {_list(ro)}, not as SHARED says."
        return
    if ro - {"SELECT"} or (ro and table in NOT_FOR_ANALYTICS):
        yield f"{table}: app_ro may {_list(ro)}; that is too much."
    if not is_tenants:
        return
    if rw - {"SELECT", "INSERT", "UPDATE", "DELETE"} or "SELECT" not in rw:
        yield f"{table}: app_rw may {_list(rw)}; it must be able to SELECT, and no more than write."
    if table in APPEND_ONLY and rw != {"SELECT", "INSERT"}:
        yield f"{table}: app_rw may {_list(rw)}; to an append-only table it may SELECT and INSERT."


def _list(privileges: set[str] | None) -> str:
    return ", ".join(sorted(privileges)) if privileges else "do nothing"


def _functions_and_views(connection: Connection) -> Iterator[str]:
    definers = set()
    for name, has_path, is_public in connection.execute(_FUNCTIONS):
        definers.add(name)
        if not has_path:
            yield f"{name}() is SECURITY DEFINER without a search_path of its own."
        if is_public:
            yield f"{name}() is SECURITY DEFINER, yet everybody may call it."
    if definers != SECURITY_DEFINERS:
        yield f"SECURITY DEFINER are {sorted(definers)}, not {sorted(SECURITY_DEFINERS)}."
    for view, is_invoker in connection.execute(_VIEWS):
        if not is_invoker:
            yield f"{view}: a view without security_invoker shows every tenant's rows."


def _foreign_keys(connection: Connection, tenants: dict[str, str]) -> Iterator[str]:
    keyed = set()
    for table, name, target, columns, referenced in connection.execute(FOREIGN_KEYS):
        keyed |= {f"{table}.{column}" for column in columns}
        if target == "users" and table not in {"organization_memberships", *OF_MEMBERS}:
            yield f"{table}: {name} names a user who need not be a member; point to memberships."
        if table not in tenants or target not in tenants:
            continue
        if (tenants[table], tenants[target]) not in zip(columns, referenced, strict=True):
            yield f"{table}: {name} lets a row point to another tenant's in {target}."
    for table, column in connection.execute(_UUIDS):
        if f"{table}.{column}" not in keyed | POINTS_ANYWHERE:
            yield f"{table}.{column} has no foreign key: add one, or list it as POINTS_ANYWHERE."


def _indexes(connection: Connection, tenants: dict[str, str]) -> Iterator[str]:
    for table, index, first in connection.execute(_INDEXES):
        if table in tenants and first != "organization_id" and index not in INDEXED_ACROSS_TENANTS:
            yield f"{index} on {table} is led by {first}; a tenant's index begins with its tenant."
