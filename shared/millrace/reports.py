"""What became of a drop: figures, reasons and the report. AWS: S3.

A report holds the first REPORTED refusals line by line, and all of them by their reason. Of more, every one stands in
its parts: JSON Lines of {"line", "to", "reason"}, neighbouring lines with one reason together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import orjson

from .artifacts import Store
from .contract import DropState
from .drops import Refusal
from .tenants import Tenant

SHOWN = 50
REPORTED = 10_000
GROUPS = 40
CROWDED = 20_000
"""Refusals that wait for a checkpoint at most."""
_FIGURE = re.compile(r"0x[0-9A-F]+|\d[\d,.]*|'[^']*'")


_REST = "other reasons"


@lru_cache(256)
def _kind(reason: str) -> str:
    return _FIGURE.sub("#", reason)


@dataclass
class Report:
    drop_id: str
    key: str
    version: str
    state: DropState = DropState.PROCESSING
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    reasons: list[dict[str, Any]] = field(default_factory=list)
    """line and reason, and the file in an archive, of the first REPORTED refusals, in their order."""
    groups: list[dict[str, Any]] = field(default_factory=list)
    """reason, count and first line of refusals that differ in figures alone; the last of GROUPS is the rest."""
    parts: list[str] = field(default_factory=list)
    """Keys of the files that hold every refusal, where the reasons above are not all."""
    waiting: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """Refusals that stand in no part yet."""
    _kinds: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_item(cls, item: dict[str, Any]) -> Report:
        known = {name: item[name] for name in ("accepted", "duplicate", "rejected", "groups") if name in item}
        owner = Tenant(item["pk"].partition("#")[0])
        written = item.get("parts", ())
        if written and isinstance(written[0], str):  # by a drop that was begun before they were counted
            parts = list(written)
        else:
            epochs = [epoch for epoch, count in written for _ in range(count)]
            parts = [_part(owner, item["id"], number, epoch) for number, epoch in enumerate(epochs)]
        return cls(item["id"], item["key"], item["version"], **known, parts=parts)

    @property
    def crowded(self) -> bool:
        return len(self.waiting) >= CROWDED

    def refuse(self, refusals: Iterable[Refusal]) -> None:
        for refusal in refusals:
            self.rejected += 1
            self.waiting.append(refusal.to_dict())
            self._group(refusal)

    def _group(self, refusal: Refusal) -> None:
        if not self._kinds:
            self._kinds = {_kind(group["reason"]): group for group in self.groups}
        kind = _kind(refusal.reason)
        if kind not in self._kinds and len(self.groups) >= GROUPS:
            kind = _kind(_REST)
        if kind not in self._kinds:
            reason = _REST if len(self.groups) == GROUPS - 1 else refusal.reason
            self._kinds[kind] = self._kinds[_kind(reason)] = {**refusal.to_dict(), "reason": reason, "count": 0}
            self.groups.append(self._kinds[kind])
        self._kinds[kind]["count"] += 1

    def figures(self) -> dict[str, Any]:
        """What the drop's item holds of it, from checkpoint to checkpoint.

        Of the parts how many each epoch wrote, in order: an item has no room for the keys of all.
        """
        epochs = groupby(_epoch(key) for key in self.parts)
        parts = [[epoch, sum(1 for _ in found)] for epoch, found in epochs]
        return {name: getattr(self, name) for name in ("accepted", "duplicate", "rejected", "groups")} | {
            "parts": parts
        }

    def shown(self) -> list[dict[str, Any]]:
        return self.reasons[:SHOWN]

    def to_dict(self) -> dict[str, Any]:
        """What the report object says."""
        names = (
            "drop_id",
            "key",
            "version",
            "state",
            "accepted",
            "duplicate",
            "rejected",
            "reasons",
            "groups",
            "parts",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Reports:
    store: Store

    def save(self, tenant: Tenant, report: Report, epoch: int) -> None:
        """The refusals that wait become a part. Its name has the epoch: no overtaken worker writes over it."""
        if report.waiting:
            key = _part(tenant, report.drop_id, len(report.parts), epoch)
            lines = (orjson.dumps(run, option=orjson.OPT_APPEND_NEWLINE) for run in runs(report.waiting))
            self.store.put(key, b"".join(lines), "application/x-ndjson")
            report.parts.append(key)
            report.waiting = []

    def write(self, tenant: Tenant, report: Report, epoch: int) -> str:
        """The whole report; its key."""
        if report.parts or len(report.waiting) > REPORTED:
            self.save(tenant, report, epoch)
            report.reasons = self._first(report.parts)
        else:
            report.reasons, report.waiting = report.waiting, []
        key = tenant.prefix("reports", f"{report.drop_id}.json")
        self.store.put_json(key, report.to_dict())
        return key

    def _first(self, parts: list[str]) -> list[dict[str, Any]]:
        reasons: list[dict[str, Any]] = []
        for key in parts:
            for line in self.store.get(key).splitlines():
                reasons += _single(orjson.loads(line), REPORTED - len(reasons))
                if len(reasons) >= REPORTED:
                    return reasons
        return reasons


def _part(tenant: Tenant, drop_id: str, number: int, epoch: int) -> str:
    return tenant.prefix("reports", drop_id, f"{number:05d}-{epoch}.jsonl")


def _epoch(key: str) -> int:
    return int(key.removesuffix(".jsonl").rpartition("-")[2])


def runs(refusals: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Neighbouring lines with one reason, as one."""
    last: dict[str, Any] | None = None
    for refusal in refusals:
        follows = last and last["to"] + 1 == refusal["line"] and last["reason"] == refusal["reason"]
        if last and follows and last.get("file") == refusal.get("file"):
            last["to"] = refusal["line"]
            continue
        if last:
            yield last
        last = {"line": refusal["line"], "to": refusal["line"], **refusal}
    if last:
        yield last


def _single(run: dict[str, Any], most: int) -> list[dict[str, Any]]:
    to = run.pop("to")
    return [{**run, "line": line} for line in range(run["line"], min(to, run["line"] + most - 1) + 1)]
