"""Many texts in one request: several at a time, each with its own answer or problem. AWS: through the humanizer.

One deadline holds for all. What is reached in time is answered, by the rules if need be; what is not reached says so
and can be sent again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .errors import InvalidInput, MillraceError, TooLarge, Unavailable
from .humanize import Answer, Humanizer
from .providers import Ask
from .tenants import Tenant

MAX_TEXTS = 100
MAX_CHARACTERS = 600_000
"""Of all texts together: the rules, scores and verification of so much take 2 s, and the reply stays under 6 MB."""
PARALLEL = 4


@dataclass(frozen=True)
class Outcome:
    """One text's answer, or why it has none."""

    id: str
    answer: Answer | None = None
    error: MillraceError | None = None


def humanize_all(
    humanizer: Humanizer, tenant: Tenant, asks: Sequence[tuple[str, Ask]], wish: str | None = None
) -> list[Outcome]:
    """An outcome for each ask, in their order. InvalidInput or TooLarge for the batch as such."""
    _check(asks)
    until = time.monotonic() + humanizer.deadline_s

    def one(named: tuple[str, Ask]) -> Outcome:
        id, ask = named
        if time.monotonic() >= until:
            return Outcome(id, error=Unavailable("No time was left for this text; send it again."))
        try:
            return Outcome(id, humanizer.humanize(tenant, ask, wish, until))
        except MillraceError as error:
            return Outcome(id, error=error)

    with ThreadPoolExecutor(PARALLEL, "text") as pool:
        return list(pool.map(one, asks))


def distinct(asks: Sequence[tuple[str, Ask]]) -> None:
    """InvalidInput where two texts bear one id."""
    if twice := [id for id, count in Counter(id for id, _ in asks).items() if count > 1]:
        raise InvalidInput(f"Each text needs an id of its own; {twice[0]!r} stands twice.")


def _check(asks: Sequence[tuple[str, Ask]]) -> None:
    if not asks:
        raise InvalidInput("The batch is empty; send 1 to 100 texts.")
    if len(asks) > MAX_TEXTS:
        raise TooLarge(f"The batch has {len(asks)} texts; at most {MAX_TEXTS} are taken at once.")
    distinct(asks)
    if (size := sum(len(ask.text) for _, ask in asks)) > MAX_CHARACTERS:
        raise TooLarge(f"The texts have {size:,} characters together; at most {MAX_CHARACTERS:,} are taken at once.")
