"""One AWS endpoint: what is SageMaker's goes to our server on an inner port, everything else to ministack. ASGI."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"te", b"upgrade", b"expect"}
TIMEOUT_S = 75.0
"""A little more than the 60 s that an endpoint has to answer."""


def is_sagemaker(scope: Scope) -> bool:
    """The control plane by its target header, the runtime by its path."""
    if scope["type"] != "http":
        return False
    parts = scope["path"].strip("/").split("/")
    if len(parts) == 3 and parts[0] == "endpoints" and parts[2].startswith("invocations"):
        return True
    return any(name == b"x-amz-target" and value.startswith(b"SageMaker.") for name, value in scope["headers"])


SAVE_PATH = "/_twin/save"
"""POST: what changed is on disk when the answer comes."""


def wrap(app: App, port: int, save: Callable[[], None]) -> App:
    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        if is_sagemaker(scope):
            await _forward(port, scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == SAVE_PATH:
            await asyncio.to_thread(save)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await app(scope, receive, send)

    return routed


async def _forward(port: int, scope: Scope, receive: Receive, send: Send) -> None:
    body = await _body(receive)
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def put(event: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    exchange = loop.run_in_executor(None, _exchange, port, scope, body, put)
    more = True
    while more:
        event = await events.get()
        await send(event)
        more = event["type"] == "http.response.start" or event.get("more_body", False)
    await exchange


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def _exchange(port: int, scope: Scope, body: bytes, put: Callable[[dict[str, Any]], None]) -> None:
    """One request to the inner server; its answer is passed on as it comes."""
    headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"] if k.lower() not in HOP}
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").split("?", 1)[0]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    started = False
    try:
        connection.request(scope["method"], path + ("?" + query if query else ""), body, headers)
        answer = connection.getresponse()
        kept = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in answer.getheaders()]
        kept = [(k, v) for k, v in kept if k not in HOP]
        put({"type": "http.response.start", "status": answer.status, "headers": kept})
        started = True
        while chunk := answer.read1(65536):
            put({"type": "http.response.body", "body": chunk, "more_body": True})
    except (OSError, http.client.HTTPException) as error:
        if not started:
            put({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"application/json")]})
            put({"type": "http.response.body", "body": _unavailable(error), "more_body": True})
    finally:
        connection.close()
        put({"type": "http.response.body", "body": b"", "more_body": False})


def _unavailable(error: Exception) -> bytes:
    return b'{"__type":"ServiceUnavailable","message":"The twin\'s SageMaker does not answer (%s)."}' % (
        type(error).__name__.encode()
    )
