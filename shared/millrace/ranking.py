"""The order of the routes by what the router has learned. Pure: a text, a tier, a state, a purse and a draw in.

One ranking for others' models and our own, or an own model could never earn its place: measured quality, price and
what has been seen of each decide, and the floor that the tier is owed for a text of this complexity. With the rules
behind all of them it is the chain of `routing`, in an order that was learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .bandit import Arm, Purse, State, features_of, rank
from .catalogue import Entry
from .complexity import Complexity, complexity, quality_floor, quality_of
from .contract import Tier
from .routing import Order, Reason

LEAST_PRICE: Mapping[Tier, float] = {Tier.BASIC: 60.0, Tier.PROFESSIONAL: 15.0, Tier.ENTERPRISE: 2.0}
"""Reward that a dollar must bring at the least: volume tiers look at the price first."""
CHARACTERS_PER_TOKEN = 4
PROMPT_TOKENS = 350
"""The instruction that stands before the text."""


@dataclass(frozen=True)
class Ranking:
    """What is known of a text before anybody is asked."""

    text: str
    tier: Tier
    complexity: Complexity

    @classmethod
    def of(cls, text: str, tier: Tier) -> Ranking:
        return cls(text, tier, complexity(text))

    @cached_property
    def features(self) -> tuple[float, ...]:
        return features_of(self.complexity)

    @property
    def tokens(self) -> tuple[int, int]:
        """Estimate of input and output tokens of a rewrite."""
        own = len(self.text) // CHARACTERS_PER_TOKEN + 1
        return own + PROMPT_TOKENS, own

    def forecast_usd(self, entry: Entry) -> float:
        return entry.cost_usd(*self.tokens)

    def order(self, state: State, purse: Purse | None, draw: float) -> Order:
        """For `routing.choose`."""

        def ordered(entries: Sequence[Entry]) -> list[tuple[Entry, Reason]]:
            arms = [Arm(entry.id, quality_of(entry), self.forecast_usd(entry)) for entry in entries]
            floor = quality_floor(self.complexity, self.tier)
            least = LEAST_PRICE.get(self.tier, LEAST_PRICE[Tier.BASIC])
            ranked = rank(state, arms, self.features, purse, draw, floor=floor, least_price=least)
            by_id = {entry.id: entry for entry in entries}
            placed = [(by_id[row.arm_id], Reason("ranked", row.sentence())) for row in ranked]
            return placed

        return ordered
