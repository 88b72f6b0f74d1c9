"""POST /api/feedback."""

from __future__ import annotations

import time

from fastapi import APIRouter
from millrace.bandit import Observation
from millrace.errors import MillraceError
from millrace.feedback import Feedback, give
from millrace.policies import training_policy
from millrace.tenants import Tenant
from pydantic import BaseModel, Field

from functions import parts
from functions.gateway.answering import books
from functions.gateway.caller import Editor
from functions.gateway.once import Once
from functions.gateway.shapes import settings
from functions.observability import logger

router = APIRouter(tags=["feedback"], route_class=Once)


class Request(BaseModel):
    decision_id: str = Field(min_length=1, max_length=64, pattern="^[^#]+$")
    edited_text: str | None = None
    rating: int | None = Field(None, ge=1, le=5)


class Response(BaseModel):
    decision_id: str
    data_point_id: str | None
    """What the correction became; absent for a rating."""


def _train_if_due(caller: Tenant) -> None:
    """The correction is stored: whatever keeps the training from starting is not the caller's to hear."""
    try:
        policy = training_policy(parts.table(settings), caller, settings.train_threshold)
        job = parts.training(settings).begin_if_due(caller, policy.threshold, policy.strategy)
    except MillraceError as error:
        logger.warning("training is due and could not begin", error=type(error).__name__, reason=str(error))
        return
    if job is not None:
        logger.info("training begun by policy", job_id=job.id)


def _learn(caller: Tenant, decision_id: str, rating: int) -> None:
    """What the router learned from the answer is corrected by who read it."""
    raw = parts.corpus(settings).get(caller, decision_id).decision.get("learning")
    if raw:
        seen = Observation.from_dict(raw).rated((rating - 1) / 4, time.time())
        books().learning.observe(caller, seen)


@router.post("/api/feedback", summary="Rate or correct an answer; a correction becomes training data")
def feedback(request: Request, caller: Editor) -> Response:
    point = give(parts.corpus(settings), caller, Feedback(**request.model_dump()))
    if request.rating is not None:
        _learn(caller, request.decision_id, request.rating)
    if point is not None:
        _train_if_due(caller)
    return Response(decision_id=request.decision_id, data_point_id=point.id if point else None)
