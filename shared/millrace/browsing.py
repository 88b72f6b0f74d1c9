"""Pages of a tenant's data points, filtered. AWS: DynamoDB, S3 for long texts.

One filter is served by an index: search by the entries of its longest word, feedback by the list of what was said,
anything else by the list in order of time, from `since` to `until`. The other filters are applied to what was read,
and a page reads MAX_READ points at most, so it may hold fewer than its limit, or none, and still carry `next`. What a
page costs does not depend on how many points there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from .corpus import Corpus
from .cursors import FOREIGN
from .datapoints import DataPoint, split_of
from .errors import InvalidInput
from .feedback import kinds
from .indexing import Assessed, Index, words_of
from .listing import cursor_at
from .table import Item
from .tenants import Kind, Tenant

MAX_READ = 300
_STEP = 50
"""Points that are looked at in one go: with their siblings one read of 100 items."""
_STATE = "rating thumbs edit_id edit_cost accepted_id rejected_id rejected_for feedback_at".split()
_ENTRIES = 10
"""Entries of a word that are read in one go."""
FROM_THE_NEWEST = "[null,0]"
"""The cursor of a search's first page."""


@dataclass(frozen=True)
class Filters:
    min_quality: float | None = None
    max_quality: float | None = None
    model: str | None = None
    since: str | None = None
    """RFC 3339 UTC, as `until`; both ends are in."""
    until: str | None = None
    feedback: str | None = None
    """One of FEEDBACK."""
    split: str | None = None
    origin: str | None = None
    source: str | None = None
    """The drop or decision that a point came from."""
    search: str | None = None
    """Every word of it stands in the point's texts."""

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise InvalidInput(f"since is {self.since}, which is later than until, {self.until}; swap them.")

    @property
    def any(self) -> bool:
        return self != Filters()

    @property
    def words(self) -> list[str]:
        return words_of(self.search or "")


@dataclass(frozen=True)
class Row:
    """A data point with what is known of it."""

    point: DataPoint
    assessed: Assessed | None
    state: Mapping[str, Any] = field(default_factory=dict)
    """What people said of it."""
    after: str = ""
    """In a page the cursor of what comes after it."""


@dataclass(frozen=True)
class _Read:
    """A point's item, and the cursor of what comes after it."""

    item: Item
    after: str


@dataclass(frozen=True)
class Browser:
    corpus: Corpus

    def page(self, tenant: Tenant, filters: Filters, limit: int, cursor: str | None) -> tuple[list[Row], str | None]:
        """Rows newest first, and the cursor of the next page."""
        if filters.search is not None and not filters.words:
            raise InvalidInput("The search holds no word to look for: give one of two letters or more.")
        rows: dict[str, Row] = {}
        read = 0
        for step in self._steps(tenant, filters, limit, cursor):
            for found, row in zip(step, self._rows(tenant, step), strict=True):
                read += 1
                if row is not None and _named(row, found.item) and matches(row, filters):
                    rows.setdefault(row.point.id, replace(row, after=found.after))
                if len(rows) == limit or read == MAX_READ:
                    return list(rows.values()), found.after
        return list(rows.values()), None

    def row(self, tenant: Tenant, id: str) -> Row:
        point = self.corpus.get(tenant, id)
        (row,) = self._known(tenant, [point])
        return row

    def _steps(self, tenant: Tenant, filters: Filters, limit: int, cursor: str | None) -> Iterator[list[_Read]]:
        if filters.search is not None:
            yield from self._found(tenant, filters.words[0], cursor)
        elif filters.feedback is not None:
            yield from self._listed(tenant, tenant.pk(Kind.FEEDBACK), cursor, None, _STEP)
        else:
            step = _STEP if filters.any else min(limit, _STEP)
            yield from self._listed(tenant, tenant.pk(Kind.DATA_POINT), cursor, _between(filters), step)

    def _listed(
        self, tenant: Tenant, list_pk: str, cursor: str | None, between: tuple[str, str] | None, step: int
    ) -> Iterator[list[_Read]]:
        while True:
            items, cursor = self.corpus.table.page(list_pk, step, cursor, between=between)
            yield [_Read(item, cursor_at(item)) for item in items]
            if cursor is None:
                return

    def _found(self, tenant: Tenant, word: str, cursor: str | None) -> Iterator[list[_Read]]:
        """Entries of a word, the newest first; a cursor says entry and place in it."""
        pk = tenant.pk(Kind.WORD, word)
        before, at = _opened(cursor)
        while entries := self._entries(pk, before, at):
            step: list[_Read] = []
            for entry in entries:
                for number in range(at if entry["sk"] == before else 0, len(entry["ids"])):
                    id, after = entry["ids"][number], orjson.dumps([entry["sk"], number + 1]).decode()
                    step.append(_Read({"id": id, "segment": entry["sk"]}, after))
                at, before = 0, entry["sk"]
            for first in range(0, len(step), _STEP):
                yield step[first : first + _STEP]

    def _entries(self, pk: str, before: str | None, at: int) -> list[Item]:
        """From the entry that a page ended in on, where it ended in one."""
        if at and before is not None:
            standing = self.corpus.table.get(pk, before)
            return [standing] if standing else self.corpus.table.newest(pk, _ENTRIES, before)
        return self.corpus.table.newest(pk, _ENTRIES, before)

    def _rows(self, tenant: Tenant, step: Sequence[_Read]) -> list[Row | None]:
        """In the order of the step; None for a point that was deleted."""
        bodies = [read.item for read in step if read.item.get("sk") == "body"]
        if len(bodies) == len(step):
            points = self.corpus.read_all(bodies)
        else:
            found = self.corpus.get_all(tenant, [read.item["id"] for read in step])
            points = [found.get(read.item["id"]) for read in step]
        known = {row.point.id: row for row in self._known(tenant, [point for point in points if point])}
        return [known[point.id] if point else None for point in points]

    def _known(self, tenant: Tenant, points: Sequence[DataPoint]) -> list[Row]:
        ids = [point.id for point in points]
        assessed = Index(self.corpus.table).assessed(tenant, ids)
        keys = [(tenant.pk(Kind.DATA_POINT, id), "state") for id in ids]
        states = self.corpus.table.get_all(list(dict.fromkeys(keys)), _STATE) if keys else {}
        return [
            Row(point, assessed.get(point.id), _without_key(states.get(key, {})))
            for point, key in zip(points, keys, strict=True)
        ]


def matches(row: Row, filters: Filters) -> bool:
    """Whether a row passes every filter."""
    point, state = row.point, row.state
    quality = row.assessed.quality if row.assessed else None
    words = set(words_of(point.source, point.target)) if filters.search is not None else set()
    text = f"{point.source} {point.target}".casefold() if filters.search is not None else ""
    return (
        (filters.min_quality is None or (quality is not None and quality >= filters.min_quality))
        and (filters.max_quality is None or (quality is not None and quality <= filters.max_quality))
        and (filters.model is None or point.model_id == filters.model)
        and (filters.since is None or point.created_at >= filters.since)
        and (filters.until is None or point.created_at <= filters.until)
        and (filters.feedback is None or filters.feedback in kinds(state))
        and (filters.split is None or split_of(point.source) == filters.split)
        and (filters.origin is None or point.origin == filters.origin)
        and (filters.source is None or point.origin_ref.partition("#")[0] == filters.source)
        and all(word in words or word in text for word in filters.words)
    )


def _named(row: Row, found: Item) -> bool:
    """Whether a search's entry is the one that names the point; a batch that was cut anew left others."""
    segment = row.assessed.segment if row.assessed else ""
    return not segment or found.get("segment", segment) == segment


def _between(filters: Filters) -> tuple[str, str] | None:
    """`#` sorts before every character of a time: `until` itself is in."""
    if filters.since is None and filters.until is None:
        return None
    return filters.since or "0", (filters.until or "9") + "$"


def _opened(cursor: str | None) -> tuple[str | None, int]:
    if cursor is None:
        return None, 0
    try:
        before, at = orjson.loads(cursor)
    except ValueError as error:
        raise InvalidInput(FOREIGN) from error
    return None if before is None else str(before), int(at)


def _without_key(item: Item) -> Item:
    return {name: value for name, value in item.items() if name not in ("pk", "sk")}
