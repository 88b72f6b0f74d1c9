"""Who may be asked for the next networks of a search: a model of the catalogue. AWS: through what it is handed.

`auto` begins with the model that was wished for first, goes on to its successors where it was shut down, then to the
cheapest other one that can be called. With nobody there the search goes on by evolution, and its state says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .catalogue import Entry
from .errors import MillraceError
from .proposals import Ask, Messages
from .providers import Message, Talk
from .routing import AUTO
from .talking import Talking
from .tenants import Tenant

WISHED = "llama-3.3-70b-versatile"
"""Groq's, as the search was first described; its successors follow by the catalogue."""
REPLY_TOKENS = 8_192
TEMPERATURE = 0.8
_HOPS = 8


@dataclass(frozen=True)
class Advisers:
    talking: Talking

    def asker(self, tenant: Tenant, proposer: str) -> Ask | None:
        """None where no language model can be called. A model that was named is asked, whatever stands in its way."""
        model = self.chosen(tenant) if proposer == AUTO else proposer
        if model is None:
            return None

        def ask(messages: Messages) -> str:
            turns = tuple(Message(message["role"], message["content"]) for message in messages)
            return self.talking.talk(tenant, model, Talk(turns, REPLY_TOKENS, TEMPERATURE)).completion.text

        return ask

    def chosen(self, tenant: Tenant) -> str | None:
        """Id of the model that `auto` asks."""
        try:
            entries = {entry.id: entry for entry in self.talking.catalogue.entries(tenant)}
        except MillraceError:
            return None
        return next((entry.id for entry in _ranked(entries) if self._answers(tenant, entry)), None)

    def _answers(self, tenant: Tenant, entry: Entry) -> bool:
        return tenant.tier in entry.tiers and self.talking.obstacle(entry) is None


def _ranked(entries: dict[str, Entry]) -> Iterator[Entry]:
    name: str | None = WISHED
    for _ in range(_HOPS):
        if name is None or name not in entries:
            break
        yield entries[name]
        name = entries[name].successor
    yield from sorted((e for e in entries.values() if e.output_usd), key=lambda e: e.output_usd)
