"""The gateway's application behind a function URL, unbuffered: run by uvicorn under the Lambda Web Adapter.

A function URL has no authorizer, so the key is looked up here, by the authorizer's own code. It serves what streams,
with the rest of those paths, and what a client of OpenAI's asks for; everything else is at the API's address.

Lambda does not tell a function that its caller went away: in the cloud a stream is worked on to its end, on the twin
and wherever else uvicorn sees the reader it stops.
"""

from __future__ import annotations

from millrace.access import Access, key_in
from millrace.errors import MillraceError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from functions import parts
from functions.gateway import caller, problems
from functions.gateway.app import app as gateway
from functions.gateway.shapes import settings
from functions.observability import logger

READY = "/ready"
"""Asked by the adapter until the process is up."""
SERVED = ("/api/humanize", "/api/jobs/", "/api/training-jobs/", "/v1/")


class Doorkeeper:
    """Nobody without a key comes further."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == READY:
            await problems.said(204)(scope, receive, send)
            return
        if not scope["path"].startswith(SERVED):
            told = problems.answer(scope["path"], 404, "http", "Not Found", "This address only streams; see the API's.")
            await told(scope, receive, send)
            return
        try:
            tenant = await run_in_threadpool(Access(parts.table(settings)).who, key_in(Request(scope).headers))
        except MillraceError as error:
            logger.warning("the key could not be looked up", reason=str(error))
            await problems.ours(Request(scope), error)(scope, receive, send)
            return
        if tenant is None:
            told = problems.answer(scope["path"], 403, "http", "Forbidden", "The API does not know this key.")
            await told(scope, receive, send)
            return
        await self.app({**scope, caller.VERIFIED: tenant}, receive, send)


app = Doorkeeper(gateway)
