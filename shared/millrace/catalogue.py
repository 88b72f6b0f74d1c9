"""What may answer: rows of data, never code. AWS: DynamoDB.

Rows of everybody lie under `@system`, a tenant's own models under the tenant. The rules need no row in the table:
they are part of the product and always there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .contract import Tier
from .table import Item, Table
from .tenants import Kind, Tenant, system_pk


@dataclass(frozen=True)
class Entry:
    """One model that may answer. Prices are USD per million tokens."""

    id: str
    provider: str
    tiers: tuple[Tier, ...] = tuple(Tier)
    input_usd: float = 0.0
    output_usd: float = 0.0
    endpoint: str | None = None
    instruction: str = ""
    """Stands before the text in the one user message; the model was trained with it."""
    fit: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    """What the provider calls it; the name where empty."""
    label: str = ""
    base_url: str | None = None
    """Of a custom endpoint; a provider of its own name has its own."""
    secret: str | None = None
    """Name of a custom endpoint's key in the secret; the key is bound to the endpoint's host."""
    context: int = 0
    """Tokens in and out together; 0 is unknown."""
    max_output: int = 0
    """Tokens, thinking included; 0 is unknown."""
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    """See `seeds.Capabilities`: what a request to it may hold."""
    rank: int = 0
    """Expected quality among the catalogue's models, 1 to 5; measured results take its place where there are some."""
    default: bool = False
    """A model that new work should go to."""
    pinned_price: bool = False
    """This row's prices hold, whatever the price list says."""
    shutdown: str | None = None
    """ISO date from which it no longer answers."""
    successor: str | None = None
    source: str = ""
    """Where the figures were read, and when."""

    @property
    def name(self) -> str:
        return self.id.partition("@")[0]

    @property
    def wire_name(self) -> str:
        return self.model or self.name

    @classmethod
    def from_item(cls, item: Item) -> Entry:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**known, "tiers": tuple(Tier(t) for t in item.get("tiers", tuple(Tier)))})

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1_000_000


RULES = Entry(id="rules", provider="rules")
MOST_KNOWN = 1_000
"""Tenants whose rows a process keeps."""


@dataclass(frozen=True)
class Catalogue:
    table: Table
    fresh_s: float = 0.0
    """How long what was read may be told again without looking."""
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, tuple[Entry, ...]]] = field(default_factory=dict, repr=False, compare=False)

    def entries(self, tenant: Tenant, now: bool = False) -> list[Entry]:
        """Everything that this tenant could be answered by, the rules last. `now`: as it stands, not as it was read."""
        own = self._read(tenant.pk(Kind.CATALOGUE), now)
        return [*own, *self._read(system_pk(Kind.CATALOGUE), now), RULES]

    def _read(self, pk: str, now: bool) -> tuple[Entry, ...]:
        at = self.clock()
        read_at, entries = self._known.get(pk, (float("-inf"), ()))
        if now or at - read_at >= self.fresh_s:
            entries = tuple(map(Entry.from_item, self.table.query(pk)))
            if self.fresh_s:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                self._known[pk] = (at, entries)
        return entries

    def publish(self, tenant: Tenant, entry: Entry) -> None:
        """A tenant's own model; one row a name, so that a new version takes the place of the last."""
        row = asdict(entry) | {"tiers": [str(tier) for tier in entry.tiers]}
        self._known.pop(tenant.pk(Kind.CATALOGUE), None)
        self.table.put(row | {"pk": tenant.pk(Kind.CATALOGUE), "sk": entry.name})
