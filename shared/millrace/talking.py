"""The use-case: a conversation with one model of the catalogue, asked for by its id. AWS: through what it is handed.

Nobody else answers in its place and nothing is verified or captured: this is the model as it is, under the same
breaker, retries, deadline, prices and budget as a rewrite. A stream is charged for what was said, also where its
reader leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import prices, providers
from .calls import Calls
from .catalogue import Catalogue, Entry
from .datapoints import check_unicode
from .errors import Declined, InvalidInput, TooLarge
from .providers import Completion, Talk
from .providers.counting import estimate
from .routing import choose
from .tabs import tab
from .tenants import Tenant
from .usage import Usage
from .waiting import within

MOST_CHARACTERS = 1_000_000
"""Of a conversation; a quarter of a million tokens, and well under what one request may weigh."""


@dataclass(frozen=True)
class Reply:
    model_id: str
    completion: Completion
    cost_usd: float


@dataclass(frozen=True)
class Talking:
    catalogue: Catalogue
    deadline_s: float
    calls: Calls
    obstacle: Callable[[Entry], str | None] = lambda entry: None
    """Why a model cannot be called at all: no key, shut down."""
    usage: Usage | None = None
    """Budgets; without it none is kept."""

    def talk(self, tenant: Tenant, model: str, talk: Talk) -> Reply:
        """NotFound, Forbidden, OverBudget, or Unavailable where the model does not answer."""
        entry, until = self._begin(tenant, model, talk)
        with tab(self.usage, tenant, entry, talk) as held:

            def ask(left_s: float) -> Completion:
                return within(left_s, lambda: providers.chat(entry, held.talk, left_s), entry.id)

            completion = self.calls.make(entry, until, ask)
            held.settle(completion)
        return _priced(entry, completion)

    def stream(self, tenant: Tenant, model: str, talk: Talk) -> Iterator[str | Reply]:
        """Pieces of text as they come, then the Reply. The first `next` raises what `talk` would."""
        entry, until = self._begin(tenant, model, talk)
        said: list[str] = []
        with tab(self.usage, tenant, entry, talk) as held:
            try:
                for piece in self.calls.stream(
                    entry, lambda: providers.stream(entry, held.talk, until - time.monotonic())
                ):
                    if isinstance(piece, Completion):
                        held.settle(piece)
                        yield _priced(entry, piece)
                    else:
                        said.append(piece)
                        yield piece
            except BaseException as error:  # GeneratorExit too: the reader has left
                held.left(error, "".join(said))
                raise

    def _begin(self, tenant: Tenant, model: str, talk: Talk) -> tuple[Entry, float]:
        until = time.monotonic() + self.deadline_s
        _check(talk)
        choice = choose(self.catalogue.entries(tenant), tenant.tier, "", model, obstacle=self.obstacle)
        entry = choice.routes[0]
        tokens = sum(estimate(message.content) for message in talk.messages)
        if entry.context and tokens > entry.context:
            raise Declined(f"{entry.id} takes {entry.context:,} tokens; this conversation has about {tokens:,}.")
        if entry.input_usd or entry.output_usd:
            prices.warm()
        return entry, until


def _priced(entry: Entry, completion: Completion) -> Reply:
    return Reply(entry.id, completion, prices.charge(entry, completion).cost_usd)


def _check(talk: Talk) -> None:
    if not talk.turns:
        raise InvalidInput("The conversation has no message of a user; send what is to be answered.")
    length = sum(len(message.content) for message in talk.messages)
    if length > MOST_CHARACTERS:
        raise TooLarge(f"The conversation has {length:,} characters; at most {MOST_CHARACTERS:,} are taken at once.")
    for message in talk.messages:
        check_unicode("conversation", message.content)
    for stop in talk.stop:
        check_unicode("stop", stop)
