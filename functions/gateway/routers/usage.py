"""GET /api/usage."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from millrace import clock
from millrace.usage import savings
from pydantic import BaseModel

from functions import parts
from functions.gateway.answering import books
from functions.gateway.caller import Caller
from functions.gateway.shapes import Figures, settings

router = APIRouter(tags=["routing"])


class Budget(BaseModel):
    limit_usd: float | None
    """Absent: no limit."""
    spent_usd: float
    held_usd: float
    left_usd: float | None
    near: bool
    """The router steps down to cheaper models."""
    calls: int


class Usage(BaseModel):
    today: Budget
    days: list[Figures]
    """Newest first: calls, tokens and cost by model."""
    savings: Figures | None
    """Against the tenant's baseline model; absent where the catalogue has no such model."""


@router.get("/api/usage", summary="What was spent, by day and model, and what is left of today's budget")
def usage(caller: Caller, days: Annotated[int, Query(ge=1, le=92)] = 7) -> Usage:
    book = books().usage
    rows = book.days(caller, clock.now().date(), days)
    wanted = book.policy(caller).baseline
    baseline = next((entry for entry in parts.catalogue(settings).entries(caller) if entry.id == wanted), None)
    return Usage(
        today=Budget.model_validate(book.standing(caller).to_dict()),
        days=rows,
        savings=savings(rows, baseline) if baseline else None,
    )
