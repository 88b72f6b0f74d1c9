"""Which columns of its files a tenant means, where they do not have the usual names. AWS: DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping

from .drops import ROLES
from .errors import InvalidInput
from .table import Table
from .tenants import Kind, Tenant

MAX_NAME = 200


def column_mapping(table: Table, tenant: Tenant) -> dict[str, str]:
    """Role -> name of the column. A file without that column is read by the usual names."""
    item = table.get(tenant.pk(Kind.POLICY), "columns") or {}
    return {role: str(item[role]) for role in ROLES if role in item}


def set_column_mapping(table: Table, tenant: Tenant, mapping: Mapping[str, str]) -> None:
    for role, name in mapping.items():
        if role not in ROLES:
            raise InvalidInput(f"{role!r} is no role of a column; there are {', '.join(ROLES)}.")
        if not 0 < len(name.strip()) <= MAX_NAME:
            raise InvalidInput(f"The name of the {role} column has 1 to {MAX_NAME} characters.")
    table.put({"pk": tenant.pk(Kind.POLICY), "sk": "columns", **mapping})
