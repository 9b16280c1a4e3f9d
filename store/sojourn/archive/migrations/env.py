"""What Alembic runs around the migrations. The connection, its lock and its transaction come from ``schema.py``."""

from __future__ import annotations

from typing import Any

from alembic import context

_OPTIONS: dict[str, Any] = {"version_table_schema": "sojourn", "transaction_per_migration": False}


def _run() -> None:
    attributes: dict[str, Any] = context.config.attributes
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", literal_binds=True, **_OPTIONS)
    else:
        context.configure(connection=attributes["connection"], **_OPTIONS)
    with context.begin_transaction():
        for each in attributes["before"]:
            context.execute(each)
        context.run_migrations()
        for each in attributes["after"]:
            context.execute(each)


_run()
