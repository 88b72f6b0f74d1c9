"""The menu of models: each that a tenant could ask for, and in words why one cannot answer now.

Pure but for the two functions that are handed in. A model without a key is an entry with a reason, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from .catalogue import RULES, Entry
from .contract import Tier
from .errors import MillraceError
from .lifecycle import Countdown, countdowns, gone, standing
from .routing import AUTO, Reason, allowed

AUTOMATIC = Entry(id=AUTO, provider=AUTO, label="Automatic: the router chooses, the rules stand by")
Obstacle = Callable[[Entry], str | None]


@dataclass(frozen=True)
class Offer:
    entry: Entry
    label: str
    tiers: tuple[Tier, ...]
    """That may ask for it; of an own model fewer than its row says."""
    reason: Reason | None
    """Why it cannot answer: tier, shutdown, provider (no key, no address) or left-alone (its breaker is open)."""
    countdown: Countdown | None
    """To its shutdown, where that is near or past."""


def menu(
    entries: Iterable[Entry], tier: Tier, today: date, obstacle: Obstacle, left_alone: Obstacle
) -> tuple[Offer, ...]:
    """`auto` and `rules` first, then what can answer, best quality first, then the rest.

    `obstacle` says why a model cannot be called at all, `left_alone` why its breaker does not let it be.
    """
    rows = [entry for entry in entries if entry.id != RULES.id]
    ends = {countdown.id: countdown for countdown in countdowns(rows, today)}
    offers = [
        Offer(entry, entry.label or entry.id, tiers_of(entry), _reason(entry, tier, today, obstacle, left_alone), end)
        for entry in rows
        for end in [ends.get(entry.id)]
    ]
    offers.sort(key=lambda offer: (offer.reason is not None, -offer.entry.rank, offer.entry.id))
    always = [Offer(AUTOMATIC, AUTOMATIC.label, tuple(Tier), None, None)]
    always.append(Offer(RULES, "Rules: offline, the same answer every time", tuple(Tier), None, None))
    return (*always, *offers)


def tiers_of(entry: Entry) -> tuple[Tier, ...]:
    return tuple(tier for tier in Tier if allowed(entry, tier))


def _reason(entry: Entry, tier: Tier, today: date, obstacle: Obstacle, left_alone: Obstacle) -> Reason | None:
    if not allowed(entry, tier):
        return Reason("tier", f"{entry.id} is for {_or(tiers_of(entry))}; your tier is {tier}.")
    if not standing(entry, today):
        return Reason("shutdown", gone(entry))
    for code, ask in (("provider", obstacle), ("left-alone", left_alone)):
        try:
            why = ask(entry)
        except MillraceError as error:
            why = str(error)
        if why is not None:
            return Reason(code, why)
    return None


def _or(tiers: tuple[Tier, ...]) -> str:
    names = [str(tier) for tier in tiers] or ["nobody"]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
