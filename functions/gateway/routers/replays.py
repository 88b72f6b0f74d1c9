"""POST and GET /api/models/{id}/replay: a model's successor on the golden set."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from millrace.golden import Replays
from pydantic import BaseModel

from functions import parts
from functions.gateway.answering import humanizer
from functions.gateway.caller import Caller, Operator
from functions.gateway.once import Once
from functions.gateway.shapes import settings

router = APIRouter(tags=["models"], route_class=Once)
DEADLINE_S = 22.0
"""Each model's for the whole set; both are asked at once, and the API ends at 29."""


class Figures(BaseModel):
    model_id: str
    texts: int
    faithful: int
    failed: int
    """Refused, late or unreachable."""
    ai_likeness: float
    readability: float
    latency_ms: float
    """Median."""
    cost_usd: float
    problems: dict[str, str]
    """By text: why there is no faithful rewrite."""


class Replay(BaseModel):
    id: str
    successor: str
    golden: int
    """Version of the set."""
    at: str
    verdict: str
    """better, as good, worse, or unknown where one could not be asked."""
    text: str
    before: Figures
    after: Figures


def _replays() -> Replays:
    return Replays(parts.table(settings), replace(humanizer(), deadline_s=DEADLINE_S))


@router.post("/api/models/{id}/replay", summary="Hold a model's successor against it on the golden set")
def replay(id: str, caller: Operator) -> Replay:
    return Replay.model_validate(_replays().replay(caller, id))


@router.get("/api/models/{id}/replay", summary="The newest such comparison")
def last(id: str, caller: Caller) -> Replay:
    return Replay.model_validate(_replays().last(caller, id))
