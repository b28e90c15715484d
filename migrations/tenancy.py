"""What makes a table a tenant's: row-level security, and who may do what with it.

A table's owner is subject to its policies too (FORCE), so `app_owner` has one of its own: without
it a backfill touches no rows and a dump fails.
"""

from __future__ import annotations

from alembic import op

TENANT = "nullif(current_setting('app.organization_id', true), '')::uuid"


def protect(
    table: str,
    *,
    key: str = "organization_id",
    write: str = "INSERT, UPDATE, DELETE",
    system: str = "",
    analytics: bool = True,
) -> None:
    """Put `table` behind row-level security on its `key` column.

    `app_rw` may SELECT and `write` the rows of its organization, `app_ro` may SELECT them if
    `analytics` is true, and `app_system` may do what `system` lists to the rows of all.
    """
    readers = "app_rw, app_ro" if analytics else "app_rw"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY owner ON {table} TO app_owner USING (true) WITH CHECK (true)")
    op.execute(
        f"CREATE POLICY tenant ON {table} TO {readers}"
        f" USING ({key} = {TENANT}) WITH CHECK ({key} = {TENANT})"
    )
    op.execute(f"GRANT SELECT ON {table} TO {readers}")
    if write:
        op.execute(f"GRANT {write} ON {table} TO app_rw")
    if system:
        op.execute(f"CREATE POLICY system ON {table} TO app_system USING (true)")
        op.execute(f"GRANT {system} ON {table} TO app_system")
