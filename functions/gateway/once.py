"""Idempotency-Key for any router: `APIRouter(route_class=Once)`, and a repeat of a POST is told what the first was.

Replies below 500 are kept, and of errors the unfaithful rewrite, which has cost something; whatever else fails may be
sent again under the same key. A stream is kept as it was written; one that broke off is not.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache, partial
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from millrace.errors import Unfaithful
from millrace.idempotency import Claim, Idempotency, Reply, fingerprint
from starlette.concurrency import run_in_threadpool

from functions import parts
from functions.gateway import problems
from functions.gateway.caller import tenant
from functions.gateway.shapes import settings
from functions.gateway.sse import Events

HEADER = "idempotency-key"
_KEPT_HEADERS = ("content-type", "location")
DESCRIBED = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A repeat of the same request under this key is told what the first was.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@cache
def idempotency() -> Idempotency:
    return Idempotency(parts.table(settings), parts.store(settings))


class Once(APIRoute):
    """A route whose POSTs honour the key, and whose description says so."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        declared = any(parameter.alias == HEADER for parameter in self.dependant.header_params)
        if "POST" in (self.methods or ()) and not declared:
            self.openapi_extra = {**(self.openapi_extra or {}), "parameters": [DESCRIBED]}

    def direct(self) -> Handler:
        """What answers a request, whatever its key."""
        return super().get_route_handler()

    def get_route_handler(self) -> Handler:
        inner = self.direct()
        if "POST" not in (self.methods or ()):
            return inner

        async def handle(request: Request) -> Response:
            key = request.headers.get(HEADER)
            return await inner(request) if key is None else await _once(inner, request, key)

        return handle


async def _once(inner: Handler, request: Request, key: str) -> Response:
    asked = fingerprint(request.method.encode(), str(request.url.path).encode(), _meant(request, await request.body()))
    found = await run_in_threadpool(idempotency().begin, await tenant(request), key, asked)
    if isinstance(found, Reply):
        return Response(found.body, found.status, found.headers | {"Idempotency-Replayed": "true"})
    try:
        response = await inner(request)
    except Unfaithful as error:
        response = problems.ours(request, error)
    except BaseException:
        await run_in_threadpool(idempotency().release, found)
        raise
    if isinstance(response, Events):
        response.ended = partial(_streamed, found)
    else:
        await run_in_threadpool(idempotency().finish, found, _reply(response))
    return response


def _meant(request: Request, body: bytes) -> bytes:
    """A form has a boundary of its own each time that it is sent."""
    kind, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    ends = boundary.partition(";")[0].strip('" ').encode("latin-1", "replace")
    return body.replace(ends, b"") if ends and kind.lower().startswith("multipart/form-data") else body


def _streamed(claim: Claim, whole: bytes | None) -> None:
    if whole is None:
        idempotency().release(claim)
    else:
        idempotency().finish(claim, Reply(200, whole, {"content-type": Events.media_type}))


def _reply(response: Response) -> Reply:
    kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return Reply(response.status_code, bytes(response.body), kept)
