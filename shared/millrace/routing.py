"""Choosing who answers. Pure: catalogue rows, a tier, a text and perhaps a wish in, ordered routes with reasons out.

The order is: own models whose training covers the text, newest version first; the rules. An own model that does not
cover the text is not tried, and the reason says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .catalogue import RULES, Entry
from .contract import Tier
from .errors import Forbidden, NotFound
from .fit import Fit

AUTO = "auto"
CUSTOM_MODELS_FROM = (Tier.PROFESSIONAL, Tier.ENTERPRISE)


@dataclass(frozen=True)
class Reason:
    code: str
    text: str


@dataclass(frozen=True)
class Choice:
    routes: tuple[Entry, ...]
    """In the order in which they are tried; never empty."""
    reasons: tuple[Reason, ...]
    wished: bool
    """The caller named the model: nobody else may answer."""


def choose(entries: Sequence[Entry], tier: Tier, text: str, wish: str | None = None) -> Choice:
    """NotFound for a wish that no row has, Forbidden for one above the tier."""
    if wish not in (None, "", AUTO):
        entry = _wished(entries, str(wish))
        if not _allowed(entry, tier):
            raise Forbidden(f"{entry.id} needs a higher tier than {tier}.")
        return Choice((entry,), (Reason("wish", f"{entry.id} was asked for"),), wished=True)
    routes: list[Entry] = []
    reasons: list[Reason] = []
    for entry in entries:
        if entry.id == RULES.id:
            continue
        reason = _obstacle(entry, tier, text)
        if reason is None:
            routes.append(entry)
            reasons.append(Reason("fit", f"{entry.id} was trained on text like this"))
        else:
            reasons.append(reason)
    reasons.append(Reason("floor", "the rules always answer" if not routes else "the rules answer if no model does"))
    return Choice((*routes, RULES), tuple(reasons), wished=False)


def _wished(entries: Sequence[Entry], wish: str) -> Entry:
    for entry in entries:
        if wish in (entry.id, entry.name):
            return entry
    raise NotFound(f"There is no model {wish!r}; auto, {', '.join(entry.id for entry in entries)} can be asked for.")


def _allowed(entry: Entry, tier: Tier) -> bool:
    return tier in entry.tiers and (entry.provider != "own" or tier in CUSTOM_MODELS_FROM)


def _obstacle(entry: Entry, tier: Tier, text: str) -> Reason | None:
    if not _allowed(entry, tier):
        return Reason("tier", f"{entry.id} is not part of tier {tier}")
    misfit = Fit.from_dict(entry.fit).misfit(text) if entry.fit else None
    return Reason("misfit", f"{entry.id} was passed over: {misfit}") if misfit else None
