"""The catalogue that everybody begins with: read from `catalogue.toml`, checked, and put under `@system`.

AWS: DynamoDB, in `seed` alone. Seeding again changes nothing; a row that left the file leaves the table, and rows
that an operator added by hand are not touched.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .catalogue import Entry
from .clock import fresh_id
from .contract import Tier
from .errors import Corrupt
from .providers import PROVIDERS
from .table import Item, Table, Write
from .tenants import Kind, system_pk

SEEDED = "seeded"
"""The attribute of a row that came from the file."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Capabilities(_Closed):
    """What a request to the model may hold; what is absent is left out of it."""

    temperature: bool = True
    seed: bool = False
    stream: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the output limit is called."""
    effort: str | None = Field(default=None, pattern="^(none|minimal|low|medium|high|xhigh|max)$")
    """Reasoning effort that is asked for."""
    thinking: Literal["disabled", "adaptive", "between_tools", "MINIMAL", "LOW", "MEDIUM", "HIGH"] | None = None
    """Anthropic's thinking.type or Google's thinking_level."""
    thinks: bool = False
    """Thinks before it answers, so its output needs room for that."""
    management: str | None = None
    """TorchServe's management API."""
    signature: str | None = None
    """TensorFlow Serving's signature_name."""


class Row(_Closed):
    provider: str
    model: str = ""
    label: str
    tiers: tuple[Tier, ...] = Field(min_length=1)
    input_usd: float = Field(ge=0, le=1000)
    output_usd: float = Field(ge=0, le=1000)
    context: int = Field(gt=0)
    max_output: int = Field(gt=0)
    rank: int = Field(ge=1, le=5)
    default: bool = False
    shutdown: date | None = None
    successor: str | None = None
    capabilities: Capabilities = Capabilities()
    source: str = Field(min_length=8)

    @model_validator(mode="after")
    def _whole(self) -> Row:
        if self.provider not in PROVIDERS:
            raise ValueError(f"there is no provider {self.provider}")
        if (self.shutdown is None) != (self.successor is None):
            raise ValueError("a shutdown date and a successor come together")
        if self.default and self.shutdown:
            raise ValueError("a model that is shut down is nobody's default")
        return self


class File(_Closed):
    checked: date
    models: dict[str, Row]

    @model_validator(mode="after")
    def _whole(self) -> File:
        for id, row in self.models.items():
            if row.successor is not None and (
                row.successor not in self.models or self.models[row.successor].shutdown is not None
            ):
                raise ValueError(f"the successor of {id} is {row.successor}, which is no standing model")
        return self


@dataclass(frozen=True)
class Seeded:
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int


@cache
def entries() -> tuple[Entry, ...]:
    """Every row of the file, in its order."""
    return parse(resources.files(__package__).joinpath("catalogue.toml").read_text("utf-8"))


def parse(text: str) -> tuple[Entry, ...]:
    """Corrupt where a row is not one, with the place in it."""
    try:
        file = File.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise Corrupt(f"The catalogue's seed is not one: {error}") from error
    return tuple(_entry(id, row, file.checked) for id, row in file.models.items())


def seed(table: Table) -> Seeded:
    """The rows of the file stand in the table as they are in the file."""
    pk = system_pk(Kind.CATALOGUE)
    standing = {item["sk"]: item for item in table.query(pk)}
    wanted = {entry.name: _item(entry) for entry in entries()}
    added = [name for name in wanted if name not in standing]
    changed = [name for name, item in wanted.items() if name in standing and not _same(standing[name], item)]
    removed = [name for name, item in standing.items() if item.get(SEEDED) and name not in wanted]
    for name in (*added, *changed):
        table.put(wanted[name])
    if removed:
        table.transact([Write("delete", pk, name) for name in removed], fresh_id("o"))
    return Seeded(tuple(added), tuple(changed), tuple(removed), len(wanted) - len(added) - len(changed))


def _entry(id: str, row: Row, checked: date) -> Entry:
    plain = row.model_dump(exclude={"capabilities", "shutdown", "source"})
    return Entry(
        id=id,
        **plain,
        capabilities=row.capabilities.model_dump(exclude_unset=True, exclude_none=True),
        shutdown=row.shutdown.isoformat() if row.shutdown else None,
        source=f"{row.source} ({checked.isoformat()})",
    )


def _item(entry: Entry) -> Item:
    row: dict[str, Any] = {name: value for name, value in asdict(entry).items() if value is not None}
    row |= {"tiers": [str(tier) for tier in entry.tiers], SEEDED: True}
    return row | {"pk": system_pk(Kind.CATALOGUE), "sk": entry.name}


def _same(standing: Item, wanted: Item) -> bool:
    """Numbers come back as int where they are whole."""
    return {k: v for k, v in standing.items() if k != "op"} == wanted
