"""The verified caller, as the authorizer told it in the event. No event, no caller.

`async`, since nothing here waits: FastAPI runs plain functions in threads, 0.1 ms each. None depends on another, which
would take FastAPI half as long again.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from millrace.contract import Tier
from millrace.errors import Forbidden
from millrace.tenants import Role, Tenant

VERIFIED = "millrace.tenant"
"""In the scope, where this process has looked the key up itself."""


async def tenant(request: Request) -> Tenant:
    """401 where neither the event nor this process bears a verified tenant."""
    verified = request.scope.get(VERIFIED)
    if isinstance(verified, Tenant):
        return verified
    event: dict[str, Any] = request.scope.get("aws.event") or {}
    told = ((event.get("requestContext") or {}).get("authorizer") or {}).get("lambda") or {}
    if not told.get("tenant"):
        raise HTTPException(401, "Send your key as x-api-key or as a bearer token.")
    roles = frozenset(Role(role) for role in str(told.get("roles", "")).split(",") if role)
    return Tenant(told["tenant"], Tier(told["tier"]), roles)


async def editor(request: Request) -> Tenant:
    return _having(await tenant(request), Role.EDITOR)


async def operator(request: Request) -> Tenant:
    return _having(await tenant(request), Role.OPERATOR)


def _having(caller: Tenant, role: Role) -> Tenant:
    if role not in caller.roles:
        raise Forbidden(f"This needs the role {role}.")
    return caller


Caller = Annotated[Tenant, Depends(tenant)]
Editor = Annotated[Tenant, Depends(editor)]
Operator = Annotated[Tenant, Depends(operator)]
