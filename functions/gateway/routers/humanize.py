"""POST /api/humanize."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from threading import Event
from typing import Literal

import orjson
from fastapi import APIRouter
from fastapi import Request as Http
from fastapi import Response as Raw
from millrace import voices
from millrace.errors import MillraceError
from millrace.humanize import Answer
from millrace.providers import Ask
from millrace.rewrites import Order
from millrace.tenants import Tenant
from millrace.voices import Voice, Voices
from pydantic import AliasChoices, BaseModel, Field

from functions import parts
from functions.gateway import sse
from functions.gateway.answering import humanizer
from functions.gateway.caller import Editor
from functions.gateway.inline import run
from functions.gateway.once import HEADER
from functions.gateway.problems import problem
from functions.gateway.quick import Quick
from functions.gateway.routers import rewrites
from functions.gateway.shapes import Response, settings
from functions.gateway.sse import Events
from functions.observability import logger

router = APIRouter(tags=["humanize"], route_class=Quick)


class Manner(BaseModel):
    """How to write, and who should."""

    model_id: str | None = Field(
        None,
        max_length=128,
        validation_alias=AliasChoices("model_id", "mlModelId"),
        description="auto or absent: the router chooses. rules, or a model's id: that one or an error.",
    )
    strength: Literal["light", "medium", "strong"] | None = Field(
        None, description="Absent: medium, or what suits the voice."
    )
    tone: Literal["plain", "warm", "formal", "academic"] | None = Field(
        None, description="Absent: plain, or what suits the voice."
    )
    voice_id: str | None = Field(
        None, min_length=1, max_length=64, description="A voice card, made by POST /api/voices: write like its owner."
    )


class Request(Manner):
    text: str = Field(
        description="Up to 3,000 words and 60,000 characters are answered at once, up to 5 MB as a job.",
        examples=["Moreover, it is important to note that we utilize 3 servers."],
    )
    stream: bool = Field(False, description="Answer with server-sent events, as Accept: text/event-stream does.")


def voice_of(caller: Tenant, manner: Manner) -> Voice | None:
    """NotFound for a voice that this tenant has not."""
    return Voices(parts.table(settings)).get(caller, manner.voice_id) if manner.voice_id else None


def order_of(texts: Sequence[tuple[str, Ask]], manner: Manner, batch: bool) -> Order:
    """What nobody waits for: the texts, and the manner that the first ask has of them all."""
    ask = texts[0][1]
    named = tuple((id, one.text) for id, one in texts)
    return Order(named, batch, ask.strength, ask.tone, ask.voice, manner.model_id)


@router.post(
    "/api/humanize",
    summary="Rewrite a text in a natural human voice",
    description=(
        "Always an answer for `auto`: by a model where one can, by the rules where none can. A text over 3,000 words "
        "is a job: 202, and its address in Location. A stream has an event `paragraph` with its `text` for each piece, "
        "once it verifies with all before it, and `answer` with everything at the end; what goes wrong in the middle "
        "is an event `error`."
    ),
    response_model=Response,
    responses=sse.SCHEMA | rewrites.ACCEPTED,
)
async def humanize(request: Request, caller: Editor, http: Http) -> Raw:
    """As bytes: an answer of ours is not checked against its shape a second time; a test does that."""
    streamed = request.stream or sse.MEDIA_TYPE in http.headers.get("accept", "")

    def answer() -> Raw:
        ask = voices.ask(voice_of(caller, request), request.text, request.strength, request.tone)
        if rewrites.long(request.text):
            key = http.headers.get(HEADER)  # checked by Once, which is quicker than FastAPI
            return rewrites.accept(caller, order_of([("text", ask)], request, batch=False), key)
        if streamed:
            stopped = Event()
            return Events(_events(humanizer().stream(caller, ask, request.model_id, stopped)), stopped)
        told = humanizer().humanize(caller, ask, request.model_id).to_dict()
        return Raw(orjson.dumps(told), media_type="application/json")

    return await run(http, answer)


def _events(pieces: Iterator[str | Answer]) -> Generator[bytes, None, None]:
    piece: str | Answer | None = next(pieces)  # what fails before the first piece has its own status
    try:
        while piece is not None:
            yield sse.event({"text": piece}, "paragraph") if isinstance(piece, str) else _last(piece)
            piece = next(pieces, None)
    except MillraceError as error:
        logger.warning("stream broke off", error=type(error).__name__, reason=str(error))
        yield sse.event(problem(error).model_dump(exclude_none=True), "error")
        raise


def _last(answer: Answer) -> bytes:
    return sse.event(answer.to_dict(), "answer")
