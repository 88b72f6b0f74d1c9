"""What is worked out about a data point after it was stored: quality, near duplicates, search words, figures.

AWS: DynamoDB. A body is written once and lean; the table's stream brings it here, at least once and in any order.
A point counts as seen when its sibling `assessed` stands, which is written in one transaction with the tenant's
figures: both are there once. Words and bands are written before it, and writing them again changes nothing. A point
that is deleted meanwhile is looked for afterwards, as its deletion looks for what was written: one of the two takes it
back.

Writes for a point: one of `assessed`, at most similar.BANDS of bands, and a share of its batch's words: a word's entry
names every point of the batch that bears it, at most MAX_WORDS words a point.
"""

from __future__ import annotations

import base64
import hashlib
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import similar
from .clock import fresh_id
from .datapoints import DataPoint, split_of
from .errors import Conflict
from .quality import Quality, assess
from .table import Item, Table, Write
from .tenants import Kind, Tenant
from .text.words import STOP

ASSESSED = "assessed"
MAX_WORDS = 32
"""Of a point's words the longest are indexed: they tell most."""
BATCH = 50
"""Points in one transaction."""
_MOST_WRITES = 100
_KEYS = 100
_TRIES = 8
_WORD = re.compile(r"[^\W_]{2,40}")
_SCALE = 10_000
"""Figures are kept as whole numbers of 1/10,000."""


@dataclass(frozen=True)
class Assessed:
    """The sibling of a data point that says what was worked out."""

    quality: float
    parts: Mapping[str, float]
    reasons: Sequence[Mapping[str, str]]
    before: float
    after: float
    improvement: float
    language: str
    near: str | None = None
    """The earlier data point whose source is nearly the same."""
    segment: str = ""
    """The entries of its words that name it; those of a batch that was cut anew may do so as well."""

    @classmethod
    def from_item(cls, item: Item) -> Assessed:
        return cls(**{name: item[name] for name in cls.__dataclass_fields__ if name in item})


NAMES = tuple(Assessed.__dataclass_fields__)


def words_of(*texts: str) -> list[str]:
    """The words under which a point is found: no stop words, the longest first."""
    found = {word for text in texts for word in _WORD.findall(text.casefold())} - STOP
    return sorted(found, key=lambda word: (-len(word), word))[:MAX_WORDS]


def place_of(point: DataPoint) -> str:
    """Where a point stands in its tenant's list."""
    return f"{point.created_at}#{point.id}"


@dataclass(frozen=True)
class Index:
    table: Table

    def take(self, tenant: Tenant, points: Sequence[DataPoint]) -> int:
        """How many of the points had not been seen before, and still stand."""
        unique = list({point.id: point for point in points}.values())
        return sum(self._take(tenant, unique[at : at + BATCH]) for at in range(0, len(unique), BATCH))

    def _take(self, tenant: Tenant, points: Sequence[DataPoint]) -> int:
        for _ in range(_TRIES):
            seen = self.assessed(tenant, [point.id for point in points])
            fresh = self._standing(tenant, [point for point in points if point.id not in seen])
            if not fresh:
                return 0
            near = self._near(tenant, [point for point in fresh if point.origin.trains])
            segment = _segment(fresh)
            items = [_item(tenant, point, near.get(point.id)) | {"segment": segment} for point in fresh]
            writes = [*_puts(items), *_figures(tenant, items, 1)]
            if len(writes) > _MOST_WRITES:  # points of very many models or months
                half = len(fresh) // 2
                return self._take(tenant, fresh[:half]) + self._take(tenant, fresh[half:])
            self._write_words(tenant, fresh)
            try:
                self.table.transact(writes, op=fresh_id("assess-"))
            except Conflict:
                self.take_back(tenant, fresh, segment)
                continue  # another worker took some of them
            return len(fresh) - self.take_back(tenant, fresh, segment)
        raise Conflict(f"{len(points)} data points were assessed by others {_TRIES} times at once.")

    def take_back(self, tenant: Tenant, points: Sequence[DataPoint], segment: str = "") -> int:
        """What was written of points that are gone, also to `segment`; how many these are.

        One that is added again meanwhile is taken once more, should this have met what was written of it since.
        """
        standing = {point.id for point in self._standing(tenant, points)}
        gone = [point for point in points if point.id not in standing]
        for point in gone:
            self.drop_words(tenant, point, segment)
            self.forget(tenant, point.id)
        if again := self._standing(tenant, gone):
            self.take(tenant, again)
        return len(gone) - len(again)

    def _standing(self, tenant: Tenant, points: Sequence[DataPoint]) -> list[DataPoint]:
        """Those that were not deleted before the stream was read."""
        keys = {tenant.pk(Kind.DATA_POINT, point.id): point for point in points}
        found = self._all([(pk, "body") for pk in keys], ("id",))
        return [point for pk, point in keys.items() if (pk, "body") in found]

    def assessed(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, Assessed]:
        keys = {tenant.pk(Kind.DATA_POINT, id): id for id in ids}
        found = self._all([(pk, ASSESSED) for pk in keys], NAMES)
        return {keys[pk]: Assessed.from_item(item) for (pk, _), item in found.items()}

    def forgetting(self, tenant: Tenant, id: str) -> list[Write]:
        """Part of the transaction that deletes the point: its assessment and its share of the figures."""
        pk = tenant.pk(Kind.DATA_POINT, id)
        item = self.table.get(pk, ASSESSED)
        if item is None:
            return []
        gone = Write("delete", pk, ASSESSED, expect={"quality": item["quality"]})
        return [gone, *_figures(tenant, [item], -1)]

    def forget(self, tenant: Tenant, id: str) -> None:
        """The same for a point that is gone already."""
        try:
            if writes := self.forgetting(tenant, id):
                self.table.transact(writes, op=fresh_id("forget-"))
        except Conflict:
            pass  # somebody else did

    def drop_words(self, tenant: Tenant, point: DataPoint, segment: str = "") -> None:
        """The point leaves every entry of its words, also those of `segment`, and its bands. May be repeated."""
        item = self.table.get(tenant.pk(Kind.DATA_POINT, point.id), ASSESSED) or {}
        words, segments = words_of(point.source, point.target), {item.get("segment", ""), segment} - {""}
        keys = [(tenant.pk(Kind.WORD, word), of) for of in sorted(segments) for word in words]
        for (pk, sk), entry in self._all(keys, ("ids",)).items():
            self._leave(pk, sk, entry, point.id)
        bands = [(tenant.pk(Kind.NEAR, band), "body") for band in similar.bands(similar.signature(point.source))]
        owned = [key for key, entry in self._all(bands, ("id",)).items() if entry["id"] == point.id]
        for pk, sk in owned:
            self.table.transact([Write("delete", pk, sk)], op=fresh_id("forget-"))

    def _leave(self, pk: str, sk: str, entry: Item, id: str) -> None:
        """The last one takes the entry, whose key is a word of its text."""
        while id in entry["ids"]:
            left, expect = [other for other in entry["ids"] if other != id], {"size": len(entry["ids"])}
            leaving = Write("update", pk, sk, {"ids": left}, expect=expect, add={"size": -1})
            try:
                self.table.transact(
                    [leaving if left else Write("delete", pk, sk, expect=expect)], op=fresh_id("leave-")
                )
                return
            except Conflict:
                entry = self.table.get(pk, sk) or {"ids": []}

    def figures(self, tenant: Tenant) -> dict[str, Item]:
        """Every figure of the tenant: `all`, `origin:drop`, `model:<id>`, `month:2026-11`."""
        return {item["sk"]: item for item in self.table.query(tenant.pk(Kind.STATS))}

    def _near(self, tenant: Tenant, points: Sequence[DataPoint]) -> dict[str, str]:
        """For each point the earlier one that it is nearly the same as, if there is one."""
        signed = {point.id: similar.signature(point.source) for point in points}
        claims = {
            (tenant.pk(Kind.NEAR, band), "body"): point.id
            for point in reversed(points)
            for band in similar.bands(signed[point.id])
        }
        items = [{"pk": pk, "sk": sk, "id": id} for (pk, sk), id in claims.items()]
        self.table.insert_all(items, proof="id")
        owners = {key: item["id"] for key, item in self._all(list(claims), ("id",)).items()}
        known = {**self._signatures(tenant, set(owners.values()) - signed.keys()), **signed}
        near: dict[str, str] = {}
        for point in points:
            for band in similar.bands(signed[point.id]):
                owner = owners.get((tenant.pk(Kind.NEAR, band), "body"), point.id)
                if owner != point.id and owner in known:
                    if similar.likeness(signed[point.id], known[owner]) >= similar.ALIKE:
                        near.setdefault(point.id, owner)
        return near

    def _signatures(self, tenant: Tenant, ids: Iterable[str]) -> dict[str, array[int]]:
        keys = {tenant.pk(Kind.DATA_POINT, id): id for id in ids}
        found = self._all([(pk, ASSESSED) for pk in keys], ("signature",))
        return {keys[pk]: unpacked(item["signature"]) for (pk, _), item in found.items() if "signature" in item}

    def _write_words(self, tenant: Tenant, points: Sequence[DataPoint]) -> None:
        segment = _segment(points)
        bearing: dict[str, list[str]] = {}
        for point in sorted(points, key=place_of, reverse=True):
            for word in words_of(point.source, point.target):
                bearing.setdefault(word, []).append(point.id)
        self.table.insert_all(
            [
                {"pk": tenant.pk(Kind.WORD, word), "sk": segment, "ids": ids, "size": len(ids), "of": segment}
                for word, ids in bearing.items()
            ],
            proof="of",
        )

    def _all(self, keys: Sequence[tuple[str, str]], names: Sequence[str]) -> dict[tuple[str, str], Item]:
        found: dict[tuple[str, str], Item] = {}
        for at in range(0, len(keys), _KEYS):
            found |= self.table.get_all(keys[at : at + _KEYS], names)
        return found


def _segment(points: Sequence[DataPoint]) -> str:
    """What a batch's entries are called: by its newest point's time, so that entries sort by time."""
    ids = hashlib.sha256("\n".join(sorted(point.id for point in points)).encode()).hexdigest()[:16]
    return f"{max(point.created_at for point in points)}#{ids}"


def packed(signed: array[int]) -> str:
    return base64.b64encode(signed.tobytes()).decode()


def unpacked(text: str) -> array[int]:
    return array("I", base64.b64decode(text))


def _item(tenant: Tenant, point: DataPoint, near: str | None) -> Item:
    quality: Quality = assess(point.source, point.target, near)
    told = {name: value for name, value in quality.to_dict().items() if name != "score"}
    return {
        **told,
        "pk": tenant.pk(Kind.DATA_POINT, point.id),
        "sk": ASSESSED,
        "quality": quality.score,
        "reasons": list(quality.reasons),
        "near": near,
        "origin": str(point.origin),
        "model_id": point.model_id,
        "month": point.created_at[:7],
        "split": split_of(point.source),
        "signature": packed(similar.signature(point.source)) if point.origin.trains else None,
    }


def _puts(items: Sequence[Item]) -> list[Write]:
    return [Write("put", item["pk"], item["sk"], item, new=True) for item in items]


def _figures(tenant: Tenant, items: Sequence[Item], sign: int) -> list[Write]:
    """One update for each group that the points are counted in."""
    groups: dict[str, dict[str, int]] = {}
    for item in items:
        model = [f"model:{item['model_id']}"] if item.get("model_id") else []
        for group in ("all", f"origin:{item['origin']}", f"month:{item['month']}", *model):
            into = groups.setdefault(group, {})
            for name, value in _counted(item).items():
                into[name] = into.get(name, 0) + sign * value
    return [Write("update", tenant.pk(Kind.STATS), group, add=counts) for group, counts in sorted(groups.items())]


def _counted(item: Item) -> dict[str, int]:
    return {
        "count": 1,
        "quality": round(item["quality"] * _SCALE),
        "improvement": round(item["improvement"] * _SCALE),
        "before": round(item["before"] * _SCALE),
        "after": round(item["after"] * _SCALE),
        "improved": int(item["improvement"] > 0),
        "near": int(bool(item.get("near"))),
        f"split_{item['split']}": 1,
        f"quality_{min(9, int(item['quality'] * 10))}": 1,
    }


def means(counts: Mapping[str, Any]) -> dict[str, Any]:
    """One group's figures as they are told."""
    number = int(counts.get("count", 0))
    mean = {
        name: round(counts.get(name, 0) / number / _SCALE, 4) if number else None
        for name in ("quality", "improvement", "before", "after")
    }
    return {
        "count": number,
        "mean_quality": mean["quality"],
        "mean_improvement": mean["improvement"],
        "mean_ai_likeness": {"before": mean["before"], "after": mean["after"]},
        "improved": int(counts.get("improved", 0)),
        "near_duplicates": int(counts.get("near", 0)),
        "splits": {split: int(counts.get(f"split_{split}", 0)) for split in ("train", "validation", "test")},
        "quality_histogram": [int(counts.get(f"quality_{tenth}", 0)) for tenth in range(10)],
    }
