"""POST /api/models/{id}/score."""

from __future__ import annotations

from functools import cache, partial

from fastapi import APIRouter
from millrace import aws
from millrace.scoring import Scoring
from millrace.serving import endpoint_name
from pydantic import BaseModel, Field

from functions import parts
from functions.gateway.caller import Caller
from functions.gateway.shapes import settings

router = APIRouter(tags=["models"])


class Request(BaseModel):
    text: str = Field(examples=["Moreover, it is important to note that we utilize 3 servers."])


class Response(BaseModel):
    model_id: str
    scores: dict[str, float]
    """Those of POST /api/humanize, and from this model's token probabilities mean_logprob (nats, at most 0),
    surprise_burstiness (0 to about 3) and token_likeness (0 to 1: AI-likeness to this model)."""
    tokens: int
    """That were judged; under 100 the last three are noise."""
    truncated: bool
    """The model's context held no more of the text."""
    latency_ms: float


@cache
def scoring() -> Scoring:
    named = partial(endpoint_name, settings.stage)
    return Scoring(parts.registry(settings), aws.sagemaker_runtime(), named, settings.deadline_s)


@router.post(
    "/api/models/{id}/score",
    summary="How a text looks to a deployed model of your own",
    description=(
        "A version, such as humanizer@1, or a name, whose active version answers. `token_likeness` is the share of "
        "the model's own texts that would be less likely than this one: 0.5 is what it writes itself, people mostly "
        "score less. It compares with this one model, knows nothing of others, and proves nothing about who wrote a "
        "text."
    ),
)
def score(id: str, request: Request, caller: Caller) -> Response:
    found = scoring().score(caller, id, request.text)
    return Response.model_validate(found, from_attributes=True)
