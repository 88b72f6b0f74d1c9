"""What may answer: rows of data, never code. AWS: DynamoDB.

Rows of everybody lie under `@system`, a tenant's own models under the tenant. The rules need no row in the table:
they are part of the product and always there.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    @property
    def name(self) -> str:
        return self.id.partition("@")[0]

    @classmethod
    def from_item(cls, item: Item) -> Entry:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**known, "tiers": tuple(Tier(t) for t in item.get("tiers", tuple(Tier)))})

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1_000_000


RULES = Entry(id="rules", provider="rules")


@dataclass(frozen=True)
class Catalogue:
    table: Table

    def entries(self, tenant: Tenant) -> list[Entry]:
        """Everything that this tenant could be answered by, the rules last."""
        rows = self.table.query(tenant.pk(Kind.CATALOGUE)) + self.table.query(system_pk(Kind.CATALOGUE))
        return [*(Entry.from_item(row) for row in rows), RULES]

    def publish(self, tenant: Tenant, entry: Entry) -> None:
        """A tenant's own model; one row a name, so that a new version takes the place of the last."""
        row = asdict(entry) | {"tiers": [str(tier) for tier in entry.tiers]}
        self.table.put(row | {"pk": tenant.pk(Kind.CATALOGUE), "sk": entry.name})
