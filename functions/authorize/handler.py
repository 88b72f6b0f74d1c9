"""Who is calling: the HTTP API's authorizer, payload 2.0, simple response.

The key comes as `x-api-key` or as a bearer token, which is how OpenAI's client sends it.
"""

from __future__ import annotations

from typing import Any

from millrace.access import Access, key_in
from millrace.errors import MillraceError
from millrace.settings import Storage

from functions import parts
from functions.observability import logger

settings = Storage.from_env()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    try:
        tenant = Access(parts.table(settings)).who(key_in(headers))
    except MillraceError as error:
        logger.warning("authorizer could not look the key up", reason=str(error))
        tenant = None
    if tenant is None:
        return {"isAuthorized": False}
    roles = ",".join(sorted(map(str, tenant.roles)))
    return {"isAuthorized": True, "context": {"tenant": tenant.id, "tier": str(tenant.tier), "roles": roles}}
