"""SageMaker's /ping and /invocations and OpenAI's /v1 over one pool of workers.

Errors have OpenAI's shape and one sentence. Nothing a caller sent or got is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

from millrace.errors import InvalidInput, MillraceError, Unavailable
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from training_containers.common.serving import body

from . import schema
from .engine import Engine
from .llama import Sampling
from .pool import Broken, Done, Event, Full, Judged, Pool, Task, Text
from .settings import Serving, Settings

CLOSED = 499
"""The client left before the answer; told to nobody but the log."""


class TooLong(InvalidInput):
    """The prompt leaves no room for an answer."""

    status = 400
    code = "context_length_exceeded"


class TimedOut(Unavailable):
    """The answer was not there in time."""

    status = 504
    code = "timeout"


@dataclass
class Call:
    """One request on its way through the pool."""

    id: str
    created: int
    request: schema.ChatRequest | schema.ScoreRequest
    task: Task
    events: asyncio.Queue[Event]
    deadline: float
    """time.monotonic() at which the caller hears 504."""

    async def next(self) -> Event:
        try:
            async with asyncio.timeout(self.deadline - time.monotonic()):
                return await self.events.get()
        except TimeoutError:
            self.task.cancelled.set()
            waited = time.monotonic() - self.task.queued_at
            raise TimedOut(f"No complete answer within {waited:.1f} s; ask for fewer tokens or try again.") from None


class Server:
    """The routes over one engine."""

    def __init__(self, engine: Engine, settings: Settings, serving: Serving) -> None:
        self.engine, self.settings, self.serving = engine, settings, serving
        self.pool = Pool(engine, settings.n_workers, settings.queue)
        self.started = time.time()

    def app(self) -> Starlette:
        routes = [
            Route("/ping", self.ping),
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/invocations", self.either, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/score", self.score, methods=["POST"]),
        ]
        handlers: Any = {MillraceError: _refused}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        self.pool.close()
        self.engine.close()

    async def ping(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def health(self, _: Request) -> Response:
        counters = self.pool.counters
        speed = counters.completion_tokens / counters.predicted_s if counters.predicted_s else 0.0
        return JSONResponse(
            {
                **asdict(counters),
                "status": "ok",
                "model": self.settings.name,
                "queue_depth": self.pool.depth,
                "tokens_per_s": round(speed, 2),
                "workers": self.settings.n_workers,
                "context": self.engine.context,
                "uptime_s": round(time.time() - self.started, 1),
            }
        )

    async def models(self, _: Request) -> Response:
        one = {
            "id": self.settings.name,
            "object": "model",
            "created": int(self.started),
            "owned_by": "millrace",
            "context": self.engine.context,
            **self.serving.model_dump(include={"instruction", "base", "quantization"}),
        }
        return JSONResponse({"object": "list", "data": [one]})

    async def chat(self, request: Request) -> Response:
        return await self._answered(request, lambda raw: False)

    async def score(self, request: Request) -> Response:
        return await self._answered(request, lambda raw: True)

    async def either(self, request: Request) -> Response:
        """SageMaker has one route for all that a container does."""
        return await self._answered(request, schema.asks_score)

    async def _answered(self, request: Request, scores: Callable[[bytes], bool]) -> Response:
        try:
            raw = await body(request, self.settings.max_body_bytes)
            judged = scores(raw)
            call = (
                self._judging(schema.parse(raw, schema.ScoreRequest))
                if judged
                else self._begin(schema.parse(raw, schema.ChatRequest))
            )
        except ClientDisconnect:
            return Response(status_code=CLOSED)
        leaving = asyncio.create_task(_left(request, call.task))
        reply = self._judged if judged else self._streamed if call.request.stream else self._whole
        try:
            return await reply(call, leaving)
        except MillraceError as error:
            _log(call, error.status)
            raise
        except ClientDisconnect:
            _log(call, CLOSED)
            return Response(status_code=CLOSED)
        finally:
            leaving.cancel()

    def _begin(self, request: schema.ChatRequest) -> Call:
        prompt = self.engine.prompt(schema.conversation(request, self.serving.instruction))
        room = self.engine.context - len(prompt)
        if room < 1:
            raise TooLong(f"The prompt has {len(prompt)} tokens; the context of {self.engine.context} leaves no room.")
        stops = [*request.stops, *self.serving.stop]
        return self._submitted(request, prompt, min(request.limit or room, room), request.sampling, stops)

    def _judging(self, request: schema.ScoreRequest) -> Call:
        tokens = self.engine.opened(request.score)
        if len(tokens) < 2:
            raise InvalidInput("The text has no token whose likelihood could be told; send a longer one.")
        return self._submitted(request, tokens, 0, Sampling(), [])

    def _submitted(
        self,
        request: schema.ChatRequest | schema.ScoreRequest,
        prompt: list[int],
        limit: int,
        sampling: Sampling,
        stops: list[str],
    ) -> Call:
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(events.put_nowait, event)

        judge = isinstance(request, schema.ScoreRequest)
        task = Task(prompt[: self.engine.context] if judge else prompt, limit, sampling, stops, emit, judge)
        self.pool.submit(task)
        id = f"chatcmpl-{uuid.uuid4().hex}"
        timeout_s = min(self.settings.timeout_s, request.timeout_s or self.settings.timeout_s)
        return Call(id, int(time.time()), request, task, events, task.queued_at + timeout_s)

    async def _whole(self, call: Call, leaving: asyncio.Task[None]) -> Response:
        text = ""
        while not isinstance(event := await _or_left(call, leaving), Done):
            text += _text(event)
        _log(call, 200, event)
        tokens = len(call.task.prompt)
        return JSONResponse(schema.completion(call.id, call.created, self.settings.name, text, tokens, event))

    async def _judged(self, call: Call, leaving: asyncio.Task[None]) -> Response:
        event = await _or_left(call, leaving)
        if not isinstance(event, Judged):
            _text(event)
            raise Unavailable("The model ended before the text was judged.")
        _log(call, 200)
        found = event.likelihood
        truncated = len(call.task.prompt) == self.engine.context
        return JSONResponse(schema.score(self.settings.name, found, truncated))

    async def _streamed(self, call: Call, leaving: asyncio.Task[None]) -> Response:
        """The first event decides the status: after it a stream can only end, not fail with a code of its own."""
        first = await _or_left(call, leaving)
        _text(first)
        return StreamingResponse(self._stream(call, first), media_type="text/event-stream")

    async def _stream(self, call: Call, event: Event) -> AsyncIterator[str]:
        name, tokens, done = self.settings.name, len(call.task.prompt), None
        try:
            yield schema.event(schema.chunk(call.id, call.created, name, {"role": "assistant", "content": ""}))
            while not isinstance(event, Done):
                yield schema.event(schema.chunk(call.id, call.created, name, {"content": _text(event)}))
                event = await call.next()
            done = event
            last = schema.chunk(call.id, call.created, name, {}, done.finish_reason)
            yield schema.event(last | {"timings": schema.timings(done)})
            if isinstance(call.request, schema.ChatRequest) and call.request.wants_usage:
                yield schema.event(last | {"choices": [], "usage": schema.usage(tokens, done)})
            yield "data: [DONE]\n\n"
        except MillraceError as error:
            yield schema.event(schema.error(str(error), error.code, error.status))
        finally:
            call.task.cancelled.set()  # the client may have left in the middle
            _log(call, 200 if done else CLOSED, done)


def _text(event: Event) -> str:
    if isinstance(event, Broken):
        if isinstance(event.error, MillraceError):
            raise event.error
        raise Unavailable(f"The model could not answer ({type(event.error).__name__}).") from event.error
    return event.text if isinstance(event, Text) else ""


async def _left(request: Request, task: Task) -> None:
    """Ends, and ends the work, when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    task.cancelled.set()


async def _or_left(call: Call, leaving: asyncio.Task[None]) -> Event:
    """The next event; ClientDisconnect when the client left first."""
    coming = asyncio.ensure_future(call.next())
    await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        return coming.result()
    coming.cancel()
    raise ClientDisconnect


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, MillraceError)  # noqa: S101 - the handler is registered for this class alone
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Full) else {}
    return JSONResponse(schema.error(str(error), error.code, error.status), status_code=error.status, headers=headers)


def _log(call: Call, status: int, done: Done | None = None) -> None:
    """One line a request: figures, never words."""
    line = {
        "type": "request",
        "id": call.id,
        "status": status,
        "stream": call.request.stream,
        "prompt_tokens": len(call.task.prompt),
        "completion_tokens": done.completion_tokens if done else None,
        "latency_ms": round((time.monotonic() - call.task.queued_at) * 1000, 1),
    }
    print(json.dumps(line), file=sys.stdout, flush=True)
