"""POST /api/humanize."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from millrace.errors import MillraceError
from millrace.humanize import Humanizer
from millrace.providers import Ask
from pydantic import AliasChoices, BaseModel, Field

from functions import parts
from functions.gateway.caller import Editor
from functions.gateway.shapes import Reason, settings
from functions.observability import logger

router = APIRouter(tags=["humanize"])


class Request(BaseModel):
    text: str = Field(examples=["Moreover, it is important to note that we utilize 3 servers."])
    model_id: str | None = Field(
        None,
        max_length=128,
        validation_alias=AliasChoices("model_id", "mlModelId"),
        description="auto or absent: the router chooses. rules, or a model's id: that one or an error.",
    )
    strength: Literal["light", "medium", "strong"] = "medium"
    tone: Literal["plain", "warm", "formal", "academic"] = "plain"


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


def _lost(error: MillraceError) -> None:
    logger.warning("answer not captured", reason=str(error))


@router.post("/api/humanize", summary="Rewrite a text in a natural human voice")
def humanize(request: Request, caller: Editor) -> Response:
    humanizer = Humanizer(parts.catalogue(settings), parts.corpus(settings), settings.deadline_s, on_lost_capture=_lost)
    ask = Ask(request.text, request.strength, request.tone)
    return Response.model_validate(humanizer.humanize(caller, ask, request.model_id).to_dict())
