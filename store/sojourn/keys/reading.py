"""What a key, or a member of a set, is about."""

from __future__ import annotations

import re
from typing import Final

from sojourn.keys.names import ID, TENANT, check_id, check_tenant

__all__ = ["parse_key", "parse_member", "parse_tenant_key", "session_pattern"]

_OF_SESSION: Final = re.compile(
    rf"sojourn:\{{([0-9]{{2}}|[1-9][0-9]{{2,5}})\}}:({TENANT.pattern}):(lease|session):({ID.pattern})"
)
_OF_TENANT: Final = re.compile(
    rf"sojourn:\{{([0-9]{{2}}|[1-9][0-9]{{2,5}})\}}:({TENANT.pattern}):([a-z]+)(?::(.*))?", re.DOTALL
)


def parse_member(member: str) -> tuple[str, str]:
    """Tenant and id from ``<tenant>/<id>``.

    Raises:
        InvalidName, InvalidId: it is not of that form.
    """
    tenant, _, session_id = member.partition("/")
    return check_tenant(tenant), check_id(session_id)


def parse_key(key: str) -> tuple[str, int, str, str] | None:
    """What it is, partition, tenant and id from the key of a lease or a session; None for any other key.

    Example:
        >>> parse_key("sojourn:{40}:acme:lease:6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")
        ('lease', 40, 'acme', '6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77')
    """
    match = _OF_SESSION.fullmatch(key)
    return (match[3], int(match[1]), match[2], match[4]) if match else None


def parse_tenant_key(key: str) -> tuple[int, str, str, str] | None:
    """Partition, tenant, what it is, and what it is called behind that; None for a key that is no tenant's.

    Example:
        >>> parse_tenant_key("sojourn:{40}:acme:index:owner:ada")
        (40, 'acme', 'index', 'owner:ada')
    """
    match = _OF_TENANT.fullmatch(key)
    return (int(match[1]), match[2], match[3], match[4] or "") if match else None


def session_pattern(tenant: str | None) -> str:
    """A pattern for SCAN that matches the keys of sessions, of a tenant or of all; hold what it finds to `parse_key`.

    Example:
        >>> session_pattern("acme")
        'sojourn:{*}:acme:session:*'
    """
    return f"sojourn:{{*}}:{'*' if tenant is None else check_tenant(tenant)}:session:*"
