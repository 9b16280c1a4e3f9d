"""Tenants, for the operator: which there are, giving one a partition and a Redis user of its own, deleting one."""

from sojourn.tenants.acl import Confinement, client_commands, confine, confinement, new_password
from sojourn.tenants.delete import DeleteReport, delete
from sojourn.tenants.isolate import IsolateReport, isolate
from sojourn.tenants.overview import TenantDetails, TenantSummary, list_tenants, show_tenant

__all__ = [
    "Confinement",
    "DeleteReport",
    "IsolateReport",
    "TenantDetails",
    "TenantSummary",
    "client_commands",
    "confine",
    "confinement",
    "delete",
    "isolate",
    "list_tenants",
    "new_password",
    "show_tenant",
]
