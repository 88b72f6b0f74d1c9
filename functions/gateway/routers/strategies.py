"""GET /api/strategies."""

from __future__ import annotations

from fastapi import APIRouter
from millrace.strategies import strategies
from pydantic import BaseModel

from functions.gateway.caller import Caller
from functions.gateway.shapes import Figures, Page

router = APIRouter(tags=["training jobs"])


class Strategy(BaseModel):
    name: str
    title: str
    container: str
    framework: str
    """What it trains with."""
    hyperparameters: dict[str, Figures]
    """JSON schema of each, by name."""
    resources: Figures
    data: str = "pairs"
    """What it trains on: pairs or images."""


@router.get("/api/strategies", summary="What can be trained, and with which hyperparameters")
def list_strategies(caller: Caller) -> Page[Strategy]:
    found = [strategy for strategy in strategies().values() if strategy.kind == "strategy"]
    return Page(items=[Strategy.model_validate(strategy, from_attributes=True) for strategy in found])
