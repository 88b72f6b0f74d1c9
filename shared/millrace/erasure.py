"""Forgetting data points, and telling what they had touched before. AWS: DynamoDB, S3.

A deletion takes the body, its siblings, its search words and bands, and its share of the figures; no later snapshot
holds the point. What was trained on it stays as it is and is named: every snapshot that holds it, every job on one of
these, every model of such a job. An audit item keeps ids and names, and none of the text.

The body goes first, in one transaction with the audit: a deletion that is repeated after a crash finishes the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from .browsing import FROM_THE_NEWEST, Browser, Filters
from .clock import fresh_id, stamp
from .corpus import COUNTS, Corpus
from .datapoints import DataPoint, Origin
from .errors import Conflict, NotFound
from .indexing import Index
from .jobs import Jobs
from .table import Item, Write
from .tenants import Kind, Tenant

PER_CALL = 25
"""Data points that one call deletes at most."""
ENOUGH_S = 15.0
"""After which a call begins no other deletion: each looks into every snapshot that was taken since, within the 29 s of
a request."""
_TRIES = 5


@dataclass(frozen=True)
class Touched:
    """What had been made with data points that are gone."""

    snapshots: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    related: list[str] = field(default_factory=list)
    """Data points that hold the same source: what feedback on an answer became, and the answer that it was on."""

    def and_also(self, other: Touched) -> Touched:
        return Touched(*(sorted({*a, *b}) for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))

    @classmethod
    def told(cls, audit: Item) -> Touched:
        """What an earlier deletion of the same point noted: one that was added again may be deleted again."""
        return cls(*(audit.get(name, []) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Deleted:
    ids: list[str]
    touched: Touched
    next: str | None = None
    """Where a deletion by filter goes on."""


@dataclass(frozen=True)
class Erasure:
    corpus: Corpus
    jobs: Jobs
    clock: Callable[[], float] = time.monotonic

    def count(self, tenant: Tenant, filters: Filters, cursor: str | None) -> tuple[int, str | None]:
        """How many points the filters meet in one bounded read, and where to go on counting."""
        rows, following = Browser(self.corpus).page(tenant, filters, 1_000, cursor)
        return len(rows), following

    def delete_all(self, tenant: Tenant, filters: Filters, who: str, cursor: str | None) -> Deleted:
        """PER_CALL points that the filters meet, or as many as ENOUGH_S allows, and where to go on.

        A search's cursor counts places that move up as points go, so it stays where it was until a page has none.
        """
        rows, following = Browser(self.corpus).page(tenant, filters, PER_CALL, cursor)
        touched, gone, ends_at = Touched(), list[str](), self.clock() + ENOUGH_S
        for row in rows:
            touched = touched.and_also(self.delete(tenant, row.point.id, who))
            gone.append(row.point.id)
            if self.clock() >= ends_at and row is not rows[-1]:
                following = row.after
                break
        if rows and following and filters.search is not None:
            following = cursor or FROM_THE_NEWEST
        return Deleted(gone, touched, following)

    def delete(self, tenant: Tenant, id: str, who: str) -> Touched:
        """NotFound where there is no such point; one whose deletion stopped half way is finished."""
        audit = self.corpus.table.get(tenant.pk(Kind.AUDIT, id), "deleted")
        try:
            point = self.corpus.get(tenant, id)
        except NotFound:
            if audit is None:
                raise
            Index(self.corpus.table).forget(tenant, id)
            self._forget_body(tenant, audit)
            return Touched.told(audit)
        since = min(point.created_at, (audit or {}).get("since", point.created_at))
        touched = self.touched(tenant, point, since).and_also(Touched.told(audit or {}))
        self._forget(tenant, point, touched, {"who": who, "since": since})
        return touched

    def touched(self, tenant: Tenant, point: DataPoint, since: str) -> Touched:
        """By snapshots taken at or after `since`: when the point first came to be, by its own time or its audit's."""
        snapshots = self.corpus.snapshots.holding(tenant, point.id, since)
        jobs = self.corpus.snapshots.jobs_on(tenant, snapshots)
        models = [model for job in jobs if (model := self._model(tenant, job))]
        return Touched(sorted(snapshots), jobs, sorted(models), self._related(tenant, point))

    def _related(self, tenant: Tenant, point: DataPoint) -> list[str]:
        if point.origin in (Origin.EDIT, Origin.ACCEPTED, Origin.NEGATIVE):
            return [point.origin_ref]
        state = self.corpus.table.get(tenant.pk(Kind.DATA_POINT, point.id), "state") or {}
        return sorted(state[name] for name in ("edit_id", "accepted_id", "rejected_id") if state.get(name))

    def _model(self, tenant: Tenant, job_id: str) -> str | None:
        try:
            return self.jobs.get(tenant, job_id).model_id
        except NotFound:
            return None  # a training that was asked for and never came to be

    def _forget(self, tenant: Tenant, point: DataPoint, touched: Touched, told: Item) -> None:
        table, pk = self.corpus.table, tenant.pk(Kind.DATA_POINT, point.id)
        at = stamp()
        body = table.get(pk, "body") or {}
        audit = {
            **asdict(touched),
            **told,
            "body_key": body.get("body_key"),
            "what": "data point deleted",
            "data_point_id": point.id,
            "origin": str(point.origin),
            "at": at,
            "list_pk": tenant.pk(Kind.AUDIT),
            "list_sk": f"{at}#{point.id}",
        }
        counted = point.origin.trains and point.origin is not Origin.NEGATIVE
        gone = [Write("update", tenant.pk(Kind.DATA_POINT), COUNTS, add={"removed": 1})] if counted else []
        for _ in range(_TRIES):
            forgetting = Index(table).forgetting(tenant, point.id)
            Index(table).drop_words(tenant, point)  # after the assessment was seen, which names its words' entries
            writes = [
                Write("delete", pk, "body", expect={"id": point.id}),
                Write("delete", pk, "state"),
                Write("put", tenant.pk(Kind.AUDIT, point.id), "deleted", audit),
                *forgetting,
                *gone,
            ]
            try:
                table.transact(writes, op=fresh_id("delete-"))
            except Conflict:
                if table.get(pk, "body") is not None:
                    continue
            if Index(table).assessed(tenant, [point.id]):  # while it was being deleted
                Index(table).take_back(tenant, [point])
            self._forget_body(tenant, audit)  # also where somebody else deleted it at this moment
            return
        raise Conflict(f"Data point {point.id} is being changed by others at once; ask again.")

    def _forget_body(self, tenant: Tenant, audit: Item) -> None:
        """The object of a long text, after the item that named it: the audit still does, should we not get so far.

        It stays where the same text was added again meanwhile, and an item names it; and comes back where one does
        after all, which whoever added it may have looked for too early.
        """
        key, pk = audit.get("body_key"), tenant.pk(Kind.DATA_POINT, audit["data_point_id"])
        if not key or self.corpus.table.get(pk, "body") is not None:
            return
        try:
            texts = self.corpus.store.get(key)
        except NotFound:
            return
        self.corpus.store.delete(key)
        if self.corpus.table.get(pk, "body") is not None:
            self.corpus.store.put(key, texts, "application/json")
