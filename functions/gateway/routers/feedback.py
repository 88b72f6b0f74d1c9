"""POST /api/feedback."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from millrace.bandit import Observation
from millrace.feedback import MAX_REASON, Feedback, give
from millrace.tenants import Tenant
from pydantic import BaseModel, Field

from functions import parts
from functions.collecting import train_if_due
from functions.gateway.answering import books
from functions.gateway.caller import Editor
from functions.gateway.once import Once
from functions.gateway.shapes import settings

router = APIRouter(tags=["feedback"], route_class=Once)


class Request(BaseModel):
    decision_id: str = Field(min_length=1, max_length=64, pattern="^[^#]+$")
    edited_text: str | None = None
    rating: int | None = Field(None, ge=1, le=5)
    thumbs: Literal["up", "down"] | None = None
    """Up: the answer becomes an example as it is."""
    rejected: bool = False
    """The answer becomes an example of what is not wanted."""
    reason: str = Field("", max_length=MAX_REASON)


class Response(BaseModel):
    decision_id: str
    data_point_id: str | None
    """What the correction became, or the answer that was accepted or rejected; absent for a rating."""
    data_point_ids: list[str]
    edit_cost: float | None
    """Of a correction: words that were changed, over the words there are."""


def _learn(caller: Tenant, decision_id: str, rating: int) -> None:
    """What the router learned from the answer is corrected by who read it."""
    raw = parts.corpus(settings).get(caller, decision_id).decision.get("learning")
    if raw:
        seen = Observation.from_dict(raw).rated((rating - 1) / 4, time.time())
        books().learning.observe(caller, seen)


@router.post("/api/feedback", summary="Rate, accept, correct or reject an answer; training learns from each")
def feedback(request: Request, caller: Editor) -> Response:
    learned = give(parts.corpus(settings), caller, Feedback(**request.model_dump()))
    liked = request.rating or _AS_RATING.get(request.thumbs or "")
    if liked:
        _learn(caller, request.decision_id, liked)
    if learned.points:
        train_if_due(settings, caller)
    ids = [point.id for point in learned.points]
    return Response(
        decision_id=request.decision_id,
        data_point_id=ids[0] if ids else None,
        data_point_ids=ids,
        edit_cost=learned.edit_cost,
    )


_AS_RATING = {"up": 5, "down": 1}
