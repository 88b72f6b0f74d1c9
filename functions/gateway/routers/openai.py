"""/v1: OpenAI's chat completions and models, for its own clients.

`auto`, `rules` and `humanize/<id>` rewrite the last message of the user, verified; what stands before it is not read.
Any other id is plain chat with that model, as it is. Fields that are not known here are ignored, as OpenAI does.

A stream is server-sent events. A rewrite is released paragraph by paragraph, each verified with all before it; plain
chat is sent as it comes. API Gateway's HTTP API buffers what a function answers, so through it the pieces of either
arrive together; through the streaming function they come one by one.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from functools import cache
from threading import Event
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from millrace import clock, lifecycle, providers
from millrace.catalogue import RULES, Entry
from millrace.errors import InvalidInput, MillraceError, NotFound
from millrace.humanize import Answer
from millrace.providers import PROVIDERS, Ask, Talk
from millrace.routing import AUTO, allowed
from millrace.talking import Reply, Talking
from millrace.tenants import Tenant
from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt

from functions import parts
from functions.gateway import problems, sse
from functions.gateway.answering import books, calls, humanizer, obstacle
from functions.gateway.caller import Caller, Editor
from functions.gateway.once import Once
from functions.gateway.shapes import IdempotencyKey, settings
from functions.gateway.sse import Events
from functions.observability import logger

router = APIRouter(tags=["OpenAI-compatible"], responses=problems.OPENAI_RESPONSES, route_class=Once)

HUMANIZE = "humanize/"


class Part(BaseModel):
    type: Literal["text"]
    text: str


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(max_length=64)]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    include_usage: StrictBool = False


Stop = Annotated[str, Field(max_length=1_000)]


class Request(BaseModel):
    model: str = Field(min_length=1, max_length=160, examples=["auto", "rules", "humanize/gpt-6-luna", "gpt-6-luna"])
    messages: list[Message] = Field(min_length=1, max_length=256)
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[StrictInt, Field(ge=1, le=1)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[StrictFloat, Field(ge=0, le=2)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)] | None = None
    strength: Literal["light", "medium", "strong"] = "medium"
    """Of a rewrite, as is tone; ours, sent as extra_body."""
    tone: Literal["plain", "warm", "formal", "academic"] = "plain"


class PromptDetails(BaseModel):
    cached_tokens: int


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    cost_usd: float
    """Ours: what these tokens cost."""


class Said(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str


class Option(BaseModel):
    index: int = 0
    message: Said
    finish_reason: str
    """stop or length."""


class Completion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    """Who answered."""
    choices: list[Option]
    usage: Usage
    decision_id: str | None = None
    """Of a rewrite, for POST /api/feedback."""
    reasons: list[dict[str, str]] | None = None
    """Of a rewrite: why this model answered."""


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    """Not known here."""
    owned_by: str
    shutdown_date: str | None = None
    available: bool
    """Whether it could be called now; GET /api/models/available says why not."""


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@cache
def talking() -> Talking:
    return Talking(parts.catalogue(settings), settings.deadline_s, calls(), obstacle, books().usage)


@router.post(
    "/v1/chat/completions",
    summary="Chat completions in OpenAI's shape",
    response_model=Completion,
    response_model_exclude_none=True,
    responses=sse.SCHEMA,
)
def chat_completions(request: Request, caller: Editor, idempotency_key: IdempotencyKey = None) -> Completion | Events:
    wish = _wish(request.model)
    if wish is None:
        return _talked(request, caller)
    ask = Ask(_last(request.messages), request.strength, request.tone)
    if request.stream:
        stopped = Event()
        pieces = humanizer().stream(caller, ask, wish, stopped)
        return Events(_chunks(request, wish, pieces), stopped)
    answer = humanizer().humanize(caller, ask, wish)
    return _completion(answer.model_id, answer.text, "stop", _paid(answer), **_decision(answer))


@router.get("/v1/models", summary="Models in OpenAI's shape")
def list_models(caller: Caller) -> Models:
    return Models(data=_models(caller))


@router.get("/v1/models/{id:path}", summary="One model in OpenAI's shape")
def get_model(id: str, caller: Caller) -> Model:
    found = next((model for model in _models(caller) if model.id == id), None)
    if found is None:
        raise NotFound(f"There is no model {id[:160]!r}; GET /v1/models lists those that there are.")
    return found


def _wish(model: str) -> str | None:
    """What the humanizer is asked for; None is plain chat."""
    if model.startswith(HUMANIZE):
        return model.removeprefix(HUMANIZE) or AUTO
    return model if model in (AUTO, RULES.id) else None


def _last(messages: list[Message]) -> str:
    for message in reversed(messages):
        if message.role == "user":
            return message.text
    raise InvalidInput("There is no message of a user; the last one is the text to be rewritten.")


# --- answers ----------------------------------------------------------------------------------------------------------
def _paid(answer: Answer) -> Usage:
    return _usage(answer.usage["input_tokens"], answer.usage["output_tokens"], answer.usage["cost_usd"])


def _decision(answer: Answer) -> dict[str, Any]:
    return {"decision_id": answer.decision_id, "reasons": answer.reasons}


def _talked(request: Request, caller: Tenant) -> Completion | Events:
    talk = _talk(request)
    if not request.stream:
        reply = talking().talk(caller, request.model, talk)
        return _completion(reply.model_id, reply.completion.text, reply.completion.finish, _charged(reply))
    return Events(_chunks(request, request.model, talking().stream(caller, request.model, talk)), Event())


def _talk(request: Request) -> Talk:
    return Talk(
        tuple(providers.Message(message.role, message.text) for message in request.messages),
        request.max_completion_tokens or request.max_tokens or 0,
        request.temperature,
        (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        request.seed,
    )


def _charged(reply: Reply) -> Usage:
    done = reply.completion
    return _usage(done.input_tokens, done.output_tokens, reply.cost_usd, done.cached_tokens)


def _usage(read: int, written: int, cost_usd: float, cached: int = 0) -> Usage:
    details = PromptDetails(cached_tokens=cached)
    return Usage(
        prompt_tokens=read,
        completion_tokens=written,
        total_tokens=read + written,
        prompt_tokens_details=details,
        cost_usd=cost_usd,
    )


def _completion(model: str, text: str, finish: str, usage: Usage, **more: Any) -> Completion:
    option = Option(message=Said(content=text), finish_reason=finish)
    return Completion(id=_id(), created=int(time.time()), model=model, choices=[option], usage=usage, **more)


def _id() -> str:
    return clock.fresh_id("chatcmpl-")


# --- streams ----------------------------------------------------------------------------------------------------------
def _chunks(request: Request, model: str, pieces: Iterator[str | Answer | Reply]) -> Generator[bytes, None, None]:
    """The role, the pieces, the end with what was decided, the usage where it was asked for, [DONE]."""
    base = {"id": _id(), "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
    piece: str | Answer | Reply | None = next(pieces)  # what fails before the first piece has its own status
    yield _chunk(base, {"role": "assistant", "content": ""})
    try:
        while piece is not None:
            yield from [_chunk(base, {"content": piece})] if isinstance(piece, str) else _end(request, base, piece)
            piece = next(pieces, None)
    except MillraceError as error:  # the status has gone out: the stream itself says what happened, as OpenAI's does
        logger.warning("stream broke off", error=type(error).__name__, reason=str(error))
        yield sse.event(problems.openai_error(error.status, error.code, str(error)))
        raise
    yield b"data: [DONE]\n\n"


def _end(request: Request, base: dict[str, Any], whole: Answer | Reply) -> Iterator[bytes]:
    if isinstance(whole, Answer):
        base, usage, finish = base | {"model": whole.model_id} | _decision(whole), _paid(whole), "stop"
    else:
        usage, finish = _charged(whole), whole.completion.finish
    yield _chunk(base, {}, finish)
    if request.stream_options and request.stream_options.include_usage:
        yield sse.event(base | {"choices": [], "usage": usage.model_dump()})


def _chunk(base: dict[str, Any], delta: dict[str, str], finish: str | None = None) -> bytes:
    return sse.event(base | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


# --- models -----------------------------------------------------------------------------------------------------------
def _models(caller: Tenant) -> list[Model]:
    """What this tenant's tier may ask for and is not gone; each first as a rewriter, then as itself."""
    today = clock.now().date()
    entries = [
        entry
        for entry in parts.catalogue(settings).entries(caller)
        if entry.id != RULES.id and allowed(entry, caller.tier) and lifecycle.standing(entry, today)
    ]
    ours = [Model(id=id, owned_by="millrace", available=True) for id in (AUTO, RULES.id)]
    talkers = [entry for entry in entries if PROVIDERS[entry.provider].talks]
    return [*ours, *(_model(entry, HUMANIZE) for entry in entries), *(_model(entry, "") for entry in talkers)]


def _model(entry: Entry, prefix: str) -> Model:
    return Model(
        id=prefix + entry.id,
        owned_by=entry.provider,
        shutdown_date=entry.shutdown,
        available=obstacle(entry) is None and calls().obstacle(entry) is None,
    )
