"""POST /api/humanize."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from millrace.providers import Ask
from pydantic import AliasChoices, BaseModel, Field

from functions.gateway.answering import humanizer
from functions.gateway.caller import Editor
from functions.gateway.shapes import Reason

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


@router.post("/api/humanize", summary="Rewrite a text in a natural human voice")
def humanize(request: Request, caller: Editor) -> Response:
    ask = Ask(request.text, request.strength, request.tone)
    return Response.model_validate(humanizer().humanize(caller, ask, request.model_id).to_dict())
