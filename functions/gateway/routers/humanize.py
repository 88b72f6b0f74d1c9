"""POST /api/humanize."""

from __future__ import annotations

from typing import Literal

import orjson
from fastapi import APIRouter
from fastapi import Request as Http
from fastapi import Response as Raw
from millrace import voices
from millrace.tenants import Tenant
from millrace.voices import Voice, Voices
from pydantic import AliasChoices, BaseModel, Field

from functions import parts
from functions.gateway.answering import humanizer
from functions.gateway.caller import Editor
from functions.gateway.inline import run
from functions.gateway.shapes import Reason, settings

router = APIRouter(tags=["humanize"])


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
        description="At most 3,000 words and 60,000 characters.",
        examples=["Moreover, it is important to note that we utilize 3 servers."],
    )


class Usage(BaseModel):
    input_tokens: int
    output_tokens: int
    cost_usd: float


class Violation(BaseModel):
    kind: str
    before: str
    after: str


class Scores(BaseModel):
    before: dict[str, float]
    after: dict[str, float]


class Response(BaseModel):
    text: str
    model_id: str
    decision_id: str
    reasons: list[Reason]
    scores: Scores
    violations: list[Violation]
    usage: Usage
    latency_ms: float


def voice_of(caller: Tenant, manner: Manner) -> Voice | None:
    """NotFound for a voice that this tenant has not."""
    return Voices(parts.table(settings)).get(caller, manner.voice_id) if manner.voice_id else None


@router.post(
    "/api/humanize",
    summary="Rewrite a text in a natural human voice",
    description="Always an answer for `auto`: by a model where one can, by the rules where none can.",
    response_model=Response,
)
async def humanize(request: Request, caller: Editor, http: Http) -> Raw:
    """As bytes: an answer of ours is not checked against its shape a second time; a test does that."""

    def answer() -> bytes:
        ask = voices.ask(voice_of(caller, request), request.text, request.strength, request.tone)
        return orjson.dumps(humanizer().humanize(caller, ask, request.model_id).to_dict())

    return Raw(await run(http, answer), media_type="application/json")
