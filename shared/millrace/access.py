"""Who is calling: API keys. AWS: DynamoDB.

Only the SHA-256 of a key is kept; a key has 256 random bits, so a plain hash is enough.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .contract import Tier
from .table import Table
from .tenants import Kind, Role, Tenant, system_pk

KEY_PREFIX = "mr_"


def fresh_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Access:
    table: Table

    def grant(self, key: str, tenant: Tenant) -> None:
        """Let this key act for this tenant."""
        roles = sorted(map(str, tenant.roles))
        self.table.put(
            {
                "pk": system_pk(Kind.API_KEY, _hash(key)),
                "sk": "body",
                "tenant": tenant.id,
                "tier": str(tenant.tier),
                "roles": roles,
            }
        )
        self.table.put({"pk": system_pk(Kind.TENANT, tenant.id), "sk": "body", "tier": str(tenant.tier)})

    def known(self, tenant: Tenant) -> Tenant:
        """The same tenant with the tier of its last key, for work that no caller's key stands behind."""
        item = self.table.get(system_pk(Kind.TENANT, tenant.id), "body")
        return replace(tenant, tier=Tier(item["tier"])) if item else tenant

    def who(self, key: str) -> Tenant | None:
        """The tenant behind a key; None for an unknown one."""
        item = self.table.get(system_pk(Kind.API_KEY, _hash(key)), "body") if key else None
        if item is None:
            return None
        return Tenant(item["tenant"], Tier(item["tier"]), frozenset(Role(role) for role in item["roles"]))


def key_in(headers: Mapping[str, str]) -> str:
    """The key of a request, "" where it has none: `x-api-key`, or a bearer token as OpenAI's client sends it.

    Names of headers are lower case.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
