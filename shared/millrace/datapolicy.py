"""What a tenant keeps of its texts, and which of them train. AWS: DynamoDB.

One item a tenant; where there is none everything is captured, nothing is masked, and what has a quality of at least
one half trains. Masking happens before a text is stored anywhere in the corpus: what was masked is not kept beside it.
A policy that was read holds for TTL_S in the process that read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .datapoints import DataPoint, Origin, Turn, example_id
from .errors import InvalidInput
from .table import Table
from .tenants import Kind, Tenant

TTL_S = 15.0
MAX_CONSENT = 200


@dataclass(frozen=True)
class DataPolicy:
    capture: bool = True
    """Whether answers are kept as data points."""
    mask: tuple[str, ...] = ()
    """Kinds of personal data that are masked before storage; of `privacy.KINDS`."""
    consent: str = ""
    """On what ground texts are kept, in the tenant's words; recorded with each data point."""
    min_quality: float = 0.5
    """What is worse trains nothing."""
    near_duplicates: bool = True
    """Whether several near duplicates may train, or only the best of each kind."""

    def __post_init__(self) -> None:
        if self.mask:
            from .privacy import KINDS  # its patterns are compiled where somebody masks

            if unknown := set(self.mask) - set(KINDS):
                raise InvalidInput(f"{sorted(unknown)[0]!r} cannot be masked; there are {', '.join(KINDS)}.")
        if not 0 <= self.min_quality <= 1:
            raise InvalidInput(f"min_quality lies in [0, 1], not {self.min_quality}.")
        if len(self.consent) > MAX_CONSENT:
            raise InvalidInput(f"consent has at most {MAX_CONSENT} characters.")

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> DataPolicy:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**known, "mask": tuple(known.get("mask", ()))})

    def kept(self, point: DataPoint) -> DataPoint:
        """The point as it may be stored. A pair whose texts were masked has the id of what is left of them."""
        point = point if point.consent or not self.consent else replace(point, consent=self.consent)
        if not self.mask:
            return point
        texts = [point.source, point.target, point.rejected, *(turn.text for turn in point.context)]
        from .privacy import mask

        masked, counts = mask(texts, self.mask)
        if not counts:
            return point
        source, target, rejected, *said = masked
        turns = tuple(Turn(turn.role, text or "") for turn, text in zip(point.context, said, strict=True))
        counts = {kind: point.masked.get(kind, 0) + counts.get(kind, 0) for kind in {**point.masked, **counts}}
        hidden = replace(
            point, source=source or "", target=target or "", rejected=rejected, context=turns, masked=counts
        )
        if point.origin is Origin.ANSWER:
            return hidden  # named by its decision
        return replace(hidden, id=example_id(hidden.origin, hidden.source, hidden.target, rejected, turns))

    def hidden(self, text: str) -> str:
        """A text that is kept beside a point, without what is masked in it."""
        if not self.mask:
            return text
        from .privacy import mask

        (masked,), _ = mask([text], self.mask)
        return masked or ""


def data_policy(table: Table, tenant: Tenant) -> DataPolicy:
    item = table.get(tenant.pk(Kind.POLICY), "data")
    return DataPolicy.from_item(item) if item else DataPolicy()


def set_data_policy(table: Table, tenant: Tenant, policy: DataPolicy) -> None:
    table.put({"pk": tenant.pk(Kind.POLICY), "sk": "data", **asdict(policy)})


@dataclass
class Policies:
    """What was read lately, so that a request does not read it again."""

    table: Table
    clock: Callable[[], float] = time.monotonic
    _read: dict[str, tuple[float, DataPolicy]] = field(default_factory=dict)

    def of(self, tenant: Tenant) -> DataPolicy:
        until, policy = self._read.get(tenant.id, (0.0, None))
        if policy is None or self.clock() >= until:
            policy = data_policy(self.table, tenant)
            self._read[tenant.id] = (self.clock() + TTL_S, policy)
        return policy

    def forget(self, tenant: Tenant) -> None:
        self._read.pop(tenant.id, None)
