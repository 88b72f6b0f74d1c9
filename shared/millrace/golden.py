"""Whether a model's successor writes as well: both rewrite a frozen golden set, and the figures stand side by side. H3.

A rewrite counts where it verifies. Each model has the whole deadline for all texts; what is not answered in it failed.
The set is eight short texts: a difference of one faithful rewrite says nothing, and `verdict` treats it so. AWS:
through the humanizer, DynamoDB for the comparison.
"""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

from .batches import Outcome, humanize_all
from .catalogue import Entry
from .clock import stamp
from .corpus import Corpus
from .datapoints import DataPoint
from .errors import InvalidInput, NotFound, Unfaithful
from .humanize import Humanizer
from .providers import Ask
from .table import Table
from .tenants import Kind, Tenant
from .text.scores import score

SLACK = 1
"""Faithful rewrites by which a successor may fall short before it counts as worse."""
LIKENESS_SLACK = 0.1


@dataclass(frozen=True)
class Golden:
    version: int
    asks: Mapping[str, Ask]


@dataclass(frozen=True)
class Figures:
    """Of one model on the set."""

    model_id: str
    texts: int
    faithful: int
    failed: int
    """Neither a rewrite nor a draft: refused, late, unreachable."""
    ai_likeness: float
    """Mean of the faithful rewrites, as readability; of the texts themselves where there are none."""
    readability: float
    latency_ms: float
    """Median of the faithful rewrites; 0 where there are none."""
    cost_usd: float
    """Of the faithful rewrites; a draft that was refused costs as well and is in the day's usage."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """By text: why there is no faithful rewrite of it."""


@cache
def golden() -> Golden:
    raw = tomllib.loads(resources.files(__package__).joinpath("golden.toml").read_text("utf-8"))
    asks = {name: Ask(row["text"].strip(), tone=row["tone"]) for name, row in raw["texts"].items()}
    return Golden(raw["version"], asks)


class _Nowhere(Corpus):
    """The golden set is no text of the tenant's: nothing of it is captured."""

    def capture(self, tenant: Tenant, point: DataPoint) -> None:
        return None


@dataclass(frozen=True)
class Replays:
    """Comparisons of a tenant's operator; one of each pair, the newest."""

    table: Table
    humanizer: Humanizer

    def replay(self, tenant: Tenant, id: str) -> dict[str, Any]:
        """The model and its successor on the golden set. NotFound, or InvalidInput where no successor is named."""
        rows = {entry.id: entry for entry in self.humanizer.catalogue.entries(tenant)}
        old, new = _pair(rows, id)
        with ThreadPoolExecutor(2, "replay") as pool:
            before, after = pool.map(lambda entry: self._measured(tenant, entry), (old, new))
        told = {"id": id, "successor": new.id, "golden": golden().version, "at": stamp()}
        told |= {"before": asdict(before), "after": asdict(after), **verdict(before, after)}
        self.table.put({"pk": tenant.pk(Kind.ROUTING), "sk": f"replay#{id}", **told})
        return told

    def last(self, tenant: Tenant, id: str) -> dict[str, Any]:
        """NotFound where none was run."""
        item = self.table.get(tenant.pk(Kind.ROUTING), f"replay#{id}")
        if item is None:
            raise NotFound(f"There is no replay of {id[:120]}; POST to run one.")
        return {name: value for name, value in item.items() if name not in ("pk", "sk", "op")}

    def _measured(self, tenant: Tenant, entry: Entry) -> Figures:
        uncaptured = replace(self.humanizer, corpus=_Nowhere(self.humanizer.corpus.table, self.humanizer.corpus.store))
        outcomes = humanize_all(uncaptured, tenant, list(golden().asks.items()), entry.id)
        return figures(entry.id, outcomes)


def _pair(rows: Mapping[str, Entry], id: str) -> tuple[Entry, Entry]:
    old = rows.get(id)
    if old is None:
        raise NotFound(f"There is no model {id[:120]!r}; GET /api/models/available lists those that there are.")
    new = rows.get(old.successor or "")
    if new is None:
        raise InvalidInput(f"{id} has no successor in the catalogue to be held against.")
    return old, new


def figures(id: str, outcomes: Sequence[Outcome]) -> Figures:
    good = [outcome.answer for outcome in outcomes if outcome.answer is not None]
    bad = {outcome.id: outcome.error for outcome in outcomes if outcome.error is not None}
    scores = [a.scores["after"] for a in good] or [score(ask.text) for ask in golden().asks.values()]
    return Figures(
        model_id=id,
        texts=len(outcomes),
        faithful=len(good),
        failed=sum(not isinstance(error, Unfaithful) for error in bad.values()),
        ai_likeness=round(statistics.mean(s["ai_likeness"] for s in scores), 4),
        readability=round(statistics.mean(s["readability"] for s in scores), 2),
        latency_ms=round(statistics.median(a.latency_ms for a in good), 1) if good else 0.0,
        cost_usd=sum(a.usage["cost_usd"] for a in good),
        problems={name: str(error) for name, error in bad.items()},
    )


def verdict(before: Figures, after: Figures) -> dict[str, str]:
    """What a person may conclude: better, as good, worse, or nothing (`unknown`) where a model could not be asked."""
    for one in (after, before):
        if one.failed > one.texts // 2:
            return {"verdict": "unknown", "text": f"{one.model_id} did not answer {one.failed} of {one.texts} texts."}
    told = (
        f"{after.model_id} kept {after.faithful} of {after.texts} texts faithful, {before.model_id} {before.faithful}; "
        f"AI-likeness {after.ai_likeness:.2f} against {before.ai_likeness:.2f}"
    )
    if after.faithful < before.faithful - SLACK or after.ai_likeness > before.ai_likeness + LIKENESS_SLACK:
        return {"verdict": "worse", "text": f"{told}: look at it before the end of {before.model_id}."}
    better = after.faithful > before.faithful + SLACK or after.ai_likeness < before.ai_likeness - LIKENESS_SLACK
    return {"verdict": "better" if better else "as good", "text": f"{told}."}
