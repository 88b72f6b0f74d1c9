"""What a conversation may cost: held before it is asked, settled on what it used. AWS: through usage.

The caller's own output limit is what is held for. Without one, a tenant with a daily budget gets the longest of OUTPUT
that there is room for, so that near the budget answers get shorter before there are none; the request bears that limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from .books import cost_usd, paid, quietly
from .catalogue import Entry
from .errors import Abandoned, MillraceError, OverBudget, Unavailable
from .providers import Completion, Talk
from .providers.counting import estimate, most_read
from .tenants import Tenant
from .usage import Hold, Spent, Usage, ceiling_usd

OUTPUT = (16_384, 4_096, 1_024)
"""Tokens, thinking included."""


@dataclass
class Tab:
    """One call's. `talk` bears the output limit that is held for."""

    usage: Usage | None
    entry: Entry
    talk: Talk
    hold: Hold | None

    def settle(self, completion: Completion) -> None:
        cost = cost_usd(self.entry, completion)
        self._spent(Spent(self.entry.id, cost, completion.input_tokens, completion.output_tokens))

    def left(self, error: BaseException, said: str = "") -> None:
        """It broke off: what was said, or may be billed although nobody heard it, is charged as estimated."""
        billed = bool(said) or type(error) in (Unavailable, Abandoned) or not isinstance(error, MillraceError)
        if not (billed and paid(self.entry)):
            return self._spent(Spent(self.entry.id, failed=True))
        read, written = most_read(self.talk), estimate(said)
        cost = cost_usd(self.entry, Completion(said, read, written))
        self._spent(Spent(self.entry.id, cost, read, written, failed=True))

    def _spent(self, spent: Spent) -> None:
        usage, hold, self.hold = self.usage, self.hold, None
        if usage is not None and hold is not None:
            quietly(lambda: usage.settle(hold, spent))


@contextmanager
def tab(usage: Usage | None, tenant: Tenant, entry: Entry, talk: Talk) -> Iterator[Tab]:
    """OverBudget where the day's budget has no room. What was not settled when the block ends has failed."""
    opened = _opened(usage, tenant, entry, talk) if usage else Tab(None, entry, talk, None)
    try:
        yield opened
    except BaseException as error:
        opened.left(error)
        raise


def _opened(usage: Usage, tenant: Tenant, entry: Entry, talk: Talk) -> Tab:
    try:
        if not paid(entry) or usage.policy(tenant).daily_usd is None:
            return Tab(usage, entry, talk, usage.reserve(tenant, 0.0))
        for limit in _limits(entry, talk):
            hold = usage.reserve(tenant, ceiling_usd(entry, most_read(talk), limit))
            if hold is not None:
                return Tab(usage, entry, replace(talk, max_tokens=limit), hold)
    except MillraceError as error:
        if paid(entry):
            raise Unavailable(f"{entry.id} was not asked: its cost could not be reserved.") from error
        return Tab(usage, entry, talk, None)
    raise OverBudget(f"{entry.id} was not asked: the day's budget has no room for it.")


def _limits(entry: Entry, talk: Talk) -> list[int]:
    most = entry.max_output or OUTPUT[0]
    if talk.max_tokens:
        return [min(talk.max_tokens, most)]
    return sorted({min(limit, most) for limit in OUTPUT}, reverse=True)
