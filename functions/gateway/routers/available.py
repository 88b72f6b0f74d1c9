"""GET /api/models/available."""

from __future__ import annotations

from fastapi import APIRouter
from millrace import clock, providers
from millrace.menu import Offer, menu
from pydantic import BaseModel

from functions import parts
from functions.gateway.answering import calls
from functions.gateway.caller import Caller
from functions.gateway.shapes import Page, Reason, settings

router = APIRouter(tags=["models"])


class Countdown(BaseModel):
    days: int
    """Left; 0 or less where it is gone."""
    level: str
    """gone, urgent or notice."""
    text: str
    successor: str | None


class Choice(BaseModel):
    id: str
    """What model_id takes."""
    label: str
    provider: str
    available: bool
    reason: Reason | None
    """Why it cannot answer now: tier, shutdown, provider or left-alone."""
    tiers: list[str]
    input_usd: float
    """USD per million tokens, as output_usd."""
    output_usd: float
    context: int
    """Tokens; 0 is unknown."""
    rank: int
    """Expected quality, 1 to 5; 0 is unknown."""
    default: bool
    shutdown: str | None
    successor: str | None
    countdown: Countdown | None


def _shown(offer: Offer) -> Choice:
    entry, end, why = offer.entry, offer.countdown, offer.reason
    return Choice(
        id=entry.id,
        label=offer.label,
        provider=entry.provider,
        available=why is None,
        reason=Reason(code=why.code, text=why.text) if why else None,
        tiers=list(map(str, offer.tiers)),
        input_usd=entry.input_usd,
        output_usd=entry.output_usd,
        context=entry.context,
        rank=entry.rank,
        default=entry.default,
        shutdown=entry.shutdown,
        successor=entry.successor,
        countdown=Countdown.model_validate(end, from_attributes=True) if end else None,
    )


@router.get("/api/models/available", summary="What can be asked for, and why what cannot")
def available(caller: Caller) -> Page[Choice]:
    entries = parts.catalogue(settings).entries(caller)
    offers = menu(entries, caller.tier, clock.now().date(), providers.obstacle, calls().obstacle)
    return Page(items=[_shown(offer) for offer in offers])
