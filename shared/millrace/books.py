"""One request's account: what it may spend, what it spent, and what it taught the router. AWS: through usage, learning.

A model that costs something is called under a hold of the most that it can cost; without room for the hold it is
passed over. Money and learning never stop an answer: where the table is away, free routes go on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .bandit import Observation, Purse, State, reward_of
from .catalogue import RULES, Entry
from .complexity import quality_of
from .errors import Abandoned, MillraceError, OverBudget, Unavailable
from .learning import Learning
from .prices import charge
from .providers import Ask, Completion, CutOff
from .providers.counting import most_read
from .providers.prompt import ask_for
from .ranking import CHARACTERS_PER_TOKEN, Ranking
from .routing import Order
from .tenants import Tenant
from .text.scores import score
from .usage import Hold, Spent, Usage, ceiling_usd


@dataclass(frozen=True)
class Books:
    """One for each process."""

    usage: Usage
    learning: Learning
    deadline_s: float
    draw: Callable[[], float] = random.random

    def open(self, tenant: Tenant, text: str = "") -> Account:
        """`text`: what the request is about."""
        try:
            purse = self.usage.standing(tenant).purse
        except MillraceError:
            purse = None
        return Account(self, tenant, self.learning.state(tenant), purse, text)


@dataclass
class Account:
    """One for each request."""

    books: Books
    tenant: Tenant
    state: State
    purse: Purse | None
    text: str = ""
    taught: dict[str, Observation] = field(default_factory=dict)
    """By model: what its last answer in this request taught."""
    _scores: dict[str, dict[str, float]] = field(default_factory=dict, repr=False)
    _rankings: dict[str, Ranking] = field(default_factory=dict, repr=False)

    def score(self, text: str) -> dict[str, float]:
        """Each text of a request is measured once."""
        if text not in self._scores:
            self._scores[text] = score(text)
        return self._scores[text]

    def ahead(self) -> None:
        """What the answer will be told with, worked out before it is there."""
        if self.text:
            self.score(self.text)
            self.ranking(self.text)

    def ranking(self, text: str) -> Ranking:
        if text not in self._rankings:
            self._rankings[text] = Ranking.of(text, self.tenant.tier)
        return self._rankings[text]

    def order(self, text: str) -> Order:
        return self.ranking(text).order(self.state, self.purse, self.books.draw())

    def call(self, entry: Entry, ask: Ask, work: Callable[[], Completion]) -> Completion:
        """`work` under a hold. OverBudget where the day's budget has no room for it."""
        hold = self._hold(entry, ask)
        try:
            completion = work()
        except MillraceError as error:
            self._close(hold, entry, ask.text, error)
            raise
        if hold is not None:
            self._settle(hold, entry, ask.text, completion)
        return completion

    def learn(self, entry: Entry, text: str, completion: Completion, faithful: bool, latency_s: float) -> None:
        """Of every model that answered: 0 for a rewrite that is unfaithful or cut off, half for a faithful one; more by
        score.
        """
        if entry.id == RULES.id:
            return
        quality = 0.5 + 0.5 * (1.0 - self.score(completion.text)["ai_likeness"]) if faithful else 0.0
        ranking = self.ranking(text)
        seen = Observation(
            arm_id=entry.id,
            prior=quality_of(entry),
            features=ranking.features,
            reward=reward_of(quality, latency_s, self.books.deadline_s),
            at=time.time(),
            forecast_usd=ranking.forecast_usd(entry),
            cost_usd=cost_usd(entry, completion),
            allowance_usd=self.purse.allowance_usd if self.purse else None,
        )
        self.taught[entry.id] = seen
        self.books.learning.observe(self.tenant, seen)

    def remembered(self, model_id: str) -> dict[str, Any] | None:
        """To be kept with the decision, so that feedback finds what it speaks of."""
        seen = self.taught.get(model_id)
        return {name: getattr(seen, name) for name in seen.__dataclass_fields__} if seen else None

    def _hold(self, entry: Entry, ask: Ask) -> Hold | None:
        """None where a free call cannot be counted just now."""
        most = _most_usd(entry, ask) if paid(entry) else 0.0
        try:
            hold = self.books.usage.reserve(self.tenant, most)
        except MillraceError as error:
            if paid(entry):
                raise Unavailable(f"{entry.id} was passed over: its cost could not be reserved.") from error
            return None
        if hold is None:
            raise OverBudget(f"{entry.id} was passed over: the day's budget has no room for it.")
        return hold

    def _settle(self, hold: Hold, entry: Entry, text: str, completion: Completion) -> None:
        tokens = (completion.input_tokens, completion.output_tokens)
        if entry.id == RULES.id:
            tokens = (len(text) // CHARACTERS_PER_TOKEN + 1, len(completion.text) // CHARACTERS_PER_TOKEN + 1)
        spent = Spent(entry.id, cost_usd(entry, completion), *tokens)
        quietly(lambda: self.books.usage.settle(hold, spent))

    def _close(self, hold: Hold | None, entry: Entry, text: str, error: MillraceError) -> None:
        """What was cut off is billed as counted, what timed out or was left may be; what was refused is not."""
        if hold is None:
            return
        if isinstance(error, CutOff):
            return self._settle(hold, entry, text, error.completion)
        if paid(entry) and type(error) in (Unavailable, Abandoned):
            forecast = self.ranking(text).forecast_usd(entry)
            quietly(lambda: self.books.usage.settle(hold, Spent(entry.id, forecast, failed=True)))
            return
        quietly(lambda: self.books.usage.release(hold, entry.id))


def paid(entry: Entry) -> bool:
    return bool(entry.input_usd or entry.output_usd)


def _most_usd(entry: Entry, ask: Ask) -> float:
    """Of the request as it is made: what it holds, and the output limit that it bears, thinking included."""
    talk = ask_for(entry, ask)
    return ceiling_usd(entry, most_read(talk), talk.max_tokens)


def cost_usd(entry: Entry, completion: Completion) -> float:
    return charge(entry, completion).cost_usd if paid(entry) else 0.0


def quietly(write: Callable[[], object]) -> None:
    """The answer is there: a book that cannot be written keeps its hold until it lapses, and nobody waits."""
    try:
        write()
    except MillraceError:
        return
