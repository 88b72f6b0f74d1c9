"""Choosing who answers. Pure: catalogue rows, a tier, a text and perhaps a wish in, ordered routes with reasons out.

The chain for `auto` is: language models of others, the one that suits the text's difficulty and the tier first; own
models whose training covers the text; the rules. An order that was learned (`ranking`) takes the place of the first two
links: an own model that has earned it by measured quality and price goes before others, and the rules stay last.
Whoever cannot be called, or whose training does not cover the text, is not tried, and a reason says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .catalogue import RULES, Entry
from .contract import Tier
from .errors import Forbidden, NotFound, ProviderRefused
from .fit import Fit

AUTO = "auto"
OWN = "own"
CHARACTERS_PER_TOKEN = 3  # on the safe side for English
CUSTOM_MODELS_FROM = (Tier.PROFESSIONAL, Tier.ENTERPRISE)


class Reason(NamedTuple):
    code: str
    text: str


Order = Callable[[Sequence[Entry]], Sequence[tuple[Entry, Reason]]]
"""Open routes in, the same in the order in which they are tried out, each with why it stands where it does."""


@dataclass(frozen=True)
class Choice:
    routes: tuple[Entry, ...]
    """In the order in which they are tried; never empty."""
    reasons: tuple[Reason, ...]
    wished: bool
    """The caller named the model: nobody else may answer."""


def choose(
    entries: Sequence[Entry],
    tier: Tier,
    text: str,
    wish: str | None = None,
    *,
    obstacle: Callable[[Entry], str | None] = lambda entry: None,
    difficulty: float = 0.5,
    order: Order | None = None,
) -> Choice:
    """`obstacle` says why an entry cannot be called; `difficulty` of the text lies in [0, 1].

    `order` ranks the open routes by what was learned; without it `difficulty`, tier and price do.

    NotFound for a wish that no row has, Forbidden for one above the tier, ProviderRefused for one that cannot answer.
    """
    if wish not in (None, "", AUTO):
        entry = _wished(entries, str(wish))
        if not allowed(entry, tier):
            raise Forbidden(f"{entry.id} needs a higher tier than {tier}.")
        if (why := obstacle(entry)) is not None:
            raise ProviderRefused(f"{entry.id} cannot answer: {why}")
        return Choice((entry,), (Reason("wish", f"{entry.id} was asked for"),), wished=True)
    open_to: list[Entry] = []
    closed: dict[str, tuple[str, Reason]] = {}
    for entry in entries:
        if entry.id == RULES.id:
            continue
        if (told := _obstacle(entry, tier, text, obstacle)) is None:
            open_to.append(entry)
            continue
        no_news = entry.shutdown and told[0] == "unavailable"  # that a model is gone is none
        if told[1] not in closed and not no_news:
            closed[told[1]] = entry.provider, Reason(*told)
    ranked = order(open_to) if order and open_to else _by_difficulty(open_to, tier, difficulty)
    routes = [entry for entry, _ in ranked]
    reasons = [*(reason for _, reason in ranked), *_together(closed)]
    reasons.append(Reason("floor", "the rules always answer" if not routes else "the rules answer if no model does"))
    return Choice((*routes, RULES), tuple(reasons), wished=False)


def _by_difficulty(entries: Sequence[Entry], tier: Tier, difficulty: float) -> list[tuple[Entry, Reason]]:
    placed = sorted(entries, key=lambda entry: _place(entry, tier, difficulty))
    return [(entry, _suits(entry, difficulty)) for entry in placed]


def target_rank(tier: Tier, difficulty: float) -> float:
    """The quality, 1 to 5, that a text of this difficulty asks for: a step more for those who pay for the best."""
    premium = {Tier.PROFESSIONAL: 0.5, Tier.ENTERPRISE: 1.0}.get(tier, 0.0)
    return min(5.0, 1.5 + 3.0 * difficulty + premium)


def _place(entry: Entry, tier: Tier, difficulty: float) -> tuple[bool, bool, float, float]:
    """Sort key: others before ours; good enough before not; then the cheapest, or the nearest to good enough."""
    price = entry.input_usd + entry.output_usd
    short = max(0.0, target_rank(tier, difficulty) - entry.rank)
    return entry.provider == OWN, short > 0, short, price


def _suits(entry: Entry, difficulty: float) -> Reason:
    if entry.provider == OWN:
        return Reason("fit", f"{entry.id} was trained on text like this")
    return Reason("suits", f"{entry.id} (quality {entry.rank} of 5) can answer a text of difficulty {difficulty:.2f}")


def _together(closed: Mapping[str, tuple[str, Reason]]) -> list[Reason]:
    """What is missing at several providers is told in one short sentence."""
    missing = {provider: reason for provider, reason in closed.values() if reason.code == "unavailable"}
    others = [reason for _, reason in closed.values() if reason.code != "unavailable"]
    if len(missing) > 1:
        named = ", ".join(sorted(missing))
        missing = {"": Reason("unavailable", f"{named} cannot be called; the menu of models says why")}
    return [*others, *missing.values()]


def _wished(entries: Sequence[Entry], wish: str) -> Entry:
    for entry in entries:
        if wish in (entry.id, entry.name):
            return entry
    raise NotFound(f"There is no model {wish!r}; auto, {', '.join(entry.id for entry in entries)} can be asked for.")


def allowed(entry: Entry, tier: Tier) -> bool:
    return tier in entry.tiers and (entry.provider != OWN or tier in CUSTOM_MODELS_FROM)


def _obstacle(entry: Entry, tier: Tier, text: str, obstacle: Callable[[Entry], str | None]) -> tuple[str, str] | None:
    """Code and text of the reason; the same one holds for many."""
    if not allowed(entry, tier):
        return "tier", f"{entry.id} is not part of tier {tier}"
    if (why := obstacle(entry)) is not None:
        return "unavailable", why
    if entry.context and len(text) > entry.context * CHARACTERS_PER_TOKEN / 2:
        return "context", f"{entry.id} takes {entry.context} tokens, in and out, and the text would need more"
    misfit = Fit.from_dict(entry.fit).misfit(text) if entry.fit else None
    return ("misfit", f"{entry.id} was passed over: {misfit}") if misfit else None
