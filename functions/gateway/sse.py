"""Server-sent events: written as they come, stopped when nobody reads them any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from threading import Event
from typing import Any

import orjson
from millrace.errors import MillraceError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_EVENT = {
    "type": "object",
    "description": "One event; its data is JSON.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
SCHEMA: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {"schema": _EVENT}}}}


def event(value: Any, name: str = "") -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + orjson.dumps(value) + b"\n\n"


class Events(Response):
    """What a generator yields. An error before its first event is the request's; one after it ends the stream.

    `stopped` is set when the reader goes away, so that work which waits for somebody else ends too.
    """

    media_type = MEDIA_TYPE

    def __init__(self, events: Generator[bytes, None, None], stopped: Event) -> None:
        super().__init__(None, headers=HEADERS)
        del self.headers["content-length"]
        self.events = events
        self.stopped = stopped
        self.ended: Callable[[bytes | None], None] = lambda whole: None
        """Called with all that was written, or None where it broke off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(self._watch(receive))
        written: list[bytes] = []
        whole = False
        try:
            chunk = await run_in_threadpool(next, self.events, None)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            whole = await self._write(chunk, send, written)
        except OSError:  # the reader is gone
            pass
        finally:
            self.stopped.set()
            watching.cancel()
            await run_in_threadpool(self.events.close)
            await run_in_threadpool(self.ended, b"".join(written) if whole else None)

    async def _write(self, chunk: bytes | None, send: Send, written: list[bytes]) -> bool:
        """Whether it came to its end."""
        whole = True
        try:
            while chunk is not None and not self.stopped.is_set():
                written.append(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await run_in_threadpool(next, self.events, None)
        except MillraceError:  # the generator has said it in its last event
            whole = False
        whole = whole and chunk is None
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return whole

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stopped.set()
