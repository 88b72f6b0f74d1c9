"""GET /api/routing/state."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from millrace.bandit import told
from millrace.breakers import State
from millrace.calls import scope
from millrace.catalogue import RULES, Entry
from millrace.clock import stamp
from pydantic import BaseModel

from functions import parts
from functions.gateway.answering import books, calls
from functions.gateway.caller import Caller
from functions.gateway.shapes import Figures, settings

router = APIRouter(tags=["models"])


class Breaker(BaseModel):
    model_id: str
    state: str
    """closed, open (left alone until next_try) or probing (one call is out)."""
    failures: int
    """In a row."""
    score: float
    """A failure adds 1, a success takes 0.5 off, a minute halves it; it opens at 4."""
    opened_at: str | None
    next_try: str | None
    reason: str
    """The last failure."""


class RetryBudget(BaseModel):
    """Of the process that answered; each has its own."""

    left: float
    """Retries that it still has."""
    ratio: float
    """What a call adds."""
    cap: float


class RoutingState(BaseModel):
    breakers: list[Breaker]
    """Shared by all processes; one for each model of the tenant's catalogue."""
    retry_budget: RetryBudget
    learned: list[Figures]
    """What the router believes of each model it has tried for this tenant, the most tried first."""
    budget: Figures
    """Today's; see /api/usage."""


def _shown(entry: Entry, state: State, at: float) -> Breaker:
    return Breaker(
        model_id=entry.id,
        state=str(state.phase),
        failures=state.failures,
        score=round(state.now(at), 3),
        opened_at=_time(state.opened_at),
        next_try=_time(state.next_try),
        reason=state.reason,
    )


def _time(at: float | None) -> str | None:
    return stamp(datetime.fromtimestamp(at, UTC)) if at is not None else None


@router.get("/api/routing/state", summary="Which models are left alone, and how many retries are left")
def routing_state(caller: Caller) -> RoutingState:
    breakers, budget = calls().breakers, calls().budget
    entries = [entry for entry in parts.catalogue(settings).entries(caller) if entry.id != RULES.id]
    return RoutingState(
        breakers=[_shown(entry, breakers.get(scope(entry)), breakers.clock()) for entry in entries],
        retry_budget=RetryBudget(left=round(budget.left, 3), ratio=budget.ratio, cap=budget.cap),
        learned=told(books().learning.state(caller)),
        budget=books().usage.standing(caller).to_dict(),
    )
