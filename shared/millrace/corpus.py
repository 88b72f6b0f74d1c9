"""Where data points live, how many there are, and the snapshots that jobs train on. AWS: DynamoDB, S3.

A usable pair is stored once and counted once: the count moves in the same transaction as the drop's or the edit's
conclusion. `trained` is the count at which the last training began.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from .artifacts import Store
from .clock import fresh_id
from .datapoints import DataPoint, Origin
from .datapolicy import Policies
from .errors import Conflict, NotFound
from .table import MAX_PAGE, Item, Table, Write
from .tenants import Kind, Tenant

if TYPE_CHECKING:
    from .snapshots import Snapshot, Snapshots

INLINE_BYTES = 8 * 1024
"""A longer text lives in S3 under its data point's id, and is checked against its hash."""
MAX_POINTS, AT_ONCE = 500_000, 20_000
"""That are read for one snapshot at most, and while somebody waits for the answer: some seconds of work."""
COUNTS = "counts"
_WRITERS, _READERS = 6, 8
_TRIES = 8
_NAMES = (*DataPoint.__dataclass_fields__, "body_key", "body_sha256")
_FRAME = 64
"""Bytes of a body that are none of its texts', where it has no context: more than enough."""
_BODY = ("source", "target", "rejected", "context")
"""What of a point's item is text, and lies in S3 where that is long."""


@dataclass(frozen=True)
class Counts:
    usable: int
    """All that ever were: what is deleted later was usable once."""
    trained: int
    removed: int = 0

    @property
    def fresh(self) -> int:
        return self.usable - self.trained

    @property
    def standing(self) -> int:
        return self.usable - self.removed


@dataclass(frozen=True)
class Corpus:
    table: Table
    store: Store
    policies: Policies | None = None
    """What tenants keep of their texts; without them everything, as it is."""

    def capture(self, tenant: Tenant, point: DataPoint) -> None:
        """One bounded write; for an answer, whose id nobody else can have. Nothing where the tenant opted out."""
        if self.policies is None or self.policies.of(tenant).capture:
            self.table.put(self._item(tenant, self.kept(tenant, point)))

    def kept(self, tenant: Tenant, point: DataPoint) -> DataPoint:
        """The point as the tenant's policy lets it be stored; it may have another id."""
        return point if self.policies is None else self.policies.of(tenant).kept(point)

    def hidden(self, tenant: Tenant, text: str) -> str:
        """What somebody said of a point, as the tenant's policy lets it be stored."""
        return text if self.policies is None else self.policies.of(tenant).hidden(text)

    def add(self, tenant: Tenant, point: DataPoint) -> bool:
        """Whether this origin owns the pair: False where it stood there already from somewhere else."""
        item = self._item(tenant, point)
        standing = self.table.put_new(item)
        self._keep_body(point, item)
        return bool(standing["origin_ref"] == point.origin_ref)

    def add_all(self, tenant: Tenant, points: Sequence[DataPoint]) -> list[bool]:
        """`add` for many points, no two of them the same, a request for every few, several at once."""
        with ThreadPoolExecutor(_WRITERS) as pool:  # a thread for each text that may be long, up to so many
            made = {point.id: pool.submit(self._item, tenant, point) for point in points if not _short(point)}
            items = [made[p.id].result() if p.id in made else self._item(tenant, p) for p in points]
            ours = self.table.insert_all(items, proof="origin_ref")
            long = [(point, item) for point, item in zip(points, items, strict=True) if "body_key" in item]
            list(pool.map(lambda pair: self._keep_body(*pair), long))
        return ours

    def get(self, tenant: Tenant, id: str) -> DataPoint:
        item = self.table.get(tenant.pk(Kind.DATA_POINT, id), "body")
        if item is None:
            raise NotFound(f"There is no data point {id}.")
        return self.read(item)

    def get_all(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, DataPoint]:
        """By id, up to 100; those that are not there are not in it."""
        found = self.table.get_all([(tenant.pk(Kind.DATA_POINT, id), "body") for id in dict.fromkeys(ids)], _NAMES)
        return {point.id: point for point in self.read_all(list(found.values())) if point}

    def deleted(self, tenant: Tenant, ids: Sequence[str]) -> set[str]:
        """Those of the ids that somebody deleted and that were not added again."""
        audited = self._there(tenant, Kind.AUDIT, "deleted", ids)
        return audited - self._there(tenant, Kind.DATA_POINT, "body", list(audited))

    def _there(self, tenant: Tenant, kind: Kind, sk: str, ids: Sequence[str]) -> set[str]:
        keys = {(tenant.pk(kind, id), sk): id for id in ids}
        parts = [list(keys)[at : at + MAX_PAGE] for at in range(0, len(keys), MAX_PAGE)]
        with ThreadPoolExecutor(_READERS) as pool:
            return {keys[key] for found in pool.map(lambda part: self.table.get_all(part, ()), parts) for key in found}

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[DataPoint], str | None]:
        items, following = self.table.page(tenant.pk(Kind.DATA_POINT), limit, cursor)
        return [point for point in self.read_all(items) if point], following

    def counts(self, tenant: Tenant) -> Counts:
        item = self.table.get(tenant.pk(Kind.DATA_POINT), COUNTS) or {}
        return Counts(item.get("usable", 0), item.get("trained", 0), item.get("removed", 0))

    def add_example(self, tenant: Tenant, point: DataPoint, said: Write, figures: Sequence[Write] = ()) -> bool:
        """An example from somebody's feedback, what was said, the figures and the count, all or nothing.

        False where the example stood already: then what was said is all that is new.
        """
        item = self._item(tenant, point)
        put = Write("put", item.pop("pk"), item.pop("sk"), item, new=True)
        counting = [] if point.origin is Origin.NEGATIVE else [self.counting(tenant, 1)]
        if self.table.get(put.pk, put.sk) is None:
            try:
                self.table.transact([put, said, *counting, *figures], op=fresh_id("example-"))
                self._keep_body(point, item)
                return True
            except Conflict:
                pass  # somebody else's, of the same texts, was quicker
        standing = self.table.get(put.pk, put.sk) or {}
        self.table.update(said, op=fresh_id("feedback-"))
        return bool(standing.get("origin_ref") == point.origin_ref)

    def add_counted(self, tenant: Tenant, points: Sequence[DataPoint]) -> list[bool]:
        """Up to 90 examples and their count in one transaction; for each whether it is new."""
        unique = {point.id: point for point in points}
        for _ in range(_TRIES):
            standing = self.get_all(tenant, list(unique))
            fresh = [point for id, point in unique.items() if id not in standing]
            items = [self._item(tenant, point) for point in fresh]
            puts = [Write("put", item["pk"], item["sk"], item, new=True) for item in items]
            if not puts:
                return [False] * len(points)
            try:
                self.table.transact([*puts, self.counting(tenant, len(puts))], op=fresh_id("add-"))
            except Conflict:
                continue  # somebody else brought one of them at this moment
            for point, item in zip(fresh, items, strict=True):
                self._keep_body(point, item)
            new = {point.id for point in fresh}
            return [point.id in new and unique[point.id] is point for point in points]
        raise Conflict("The same examples are being added by others at once; ask again.")

    @staticmethod
    def counting(tenant: Tenant, amount: int) -> Write:
        """To be part of the transaction that makes `amount` pairs usable."""
        return Write("update", tenant.pk(Kind.DATA_POINT), COUNTS, add={"usable": amount})

    @staticmethod
    def claiming(tenant: Tenant, counts: Counts) -> Write:
        """To be part of the transaction that starts a training on all that is usable now; one claim wins."""
        expect = {"trained": counts.trained or None}
        return Write("update", tenant.pk(Kind.DATA_POINT), COUNTS, {"trained": counts.usable or None}, expect=expect)

    @property
    def snapshots(self) -> Snapshots:
        from .snapshots import Snapshots  # it rates and compares texts, which most who use a corpus never do

        return Snapshots(self)

    def snapshot(self, tenant: Tenant, created_at: str, **bounds: Any) -> Snapshot:
        """Everything usable now, within the bounds of `Snapshots.take`. The same points give the same, written once."""
        return self.snapshots.take(tenant, created_at, **bounds)

    def snapshot_of(self, tenant: Tenant, points: Sequence[DataPoint], created_at: str) -> Snapshot:
        """These data points, whatever else there is."""
        return self.snapshots.take_of(tenant, points, created_at)

    def load_snapshot(self, tenant: Tenant, id: str) -> Snapshot:
        return self.snapshots.load(tenant, id)

    def _item(self, tenant: Tenant, point: DataPoint) -> Item:
        item = point.to_dict() | {
            "pk": tenant.pk(Kind.DATA_POINT, point.id),
            "sk": "body",
            "list_pk": tenant.pk(Kind.DATA_POINT),
            "list_sk": f"{point.created_at}#{point.id}",
        }
        if not _short(point) and len(raw := _body(point)) > INLINE_BYTES:
            key = tenant.prefix("bodies", point.id)
            digest = self.store.put(key, raw, "application/json")
            item |= dict.fromkeys(_BODY) | {"body_key": key, "body_sha256": digest}
        return item

    def _keep_body(self, point: DataPoint, item: Item) -> None:
        """After the item: a deletion of the same text that ended in between took the object that this one names.

        That deletion looks for an item after it took the object, as this looks for the object after the item; so one
        of the two sees the other, and puts it back.
        """
        if "body_key" in item and not self.store.exists(item["body_key"]):
            self.store.put(item["body_key"], _body(point), "application/json")

    def read(self, item: dict[str, Any]) -> DataPoint:
        if "body_key" in item:
            texts = orjson.loads(self.store.get(item["body_key"], item["body_sha256"]))
            item = item | dict(zip(_BODY, texts, strict=False))
        return DataPoint.from_item(item)

    def read_all(self, items: Sequence[Item], pool: Executor | None = None) -> list[DataPoint | None]:
        """In the order of the items; None for a point whose long text was deleted after its item was read.

        Long texts are fetched several at once, by the pool or one of their own.
        """
        if not any("body_key" in item for item in items):
            return [self._read_or_none(item) for item in items]
        if pool is not None:
            return list(pool.map(self._read_or_none, items))
        with ThreadPoolExecutor(_READERS) as own:
            return list(own.map(self._read_or_none, items))

    def _read_or_none(self, item: Item) -> DataPoint | None:
        try:
            return self.read(item)
        except NotFound:
            return None


def _short(point: DataPoint) -> bool:
    """Whether its texts are inline however they are written: a character has at most six bytes in JSON."""
    characters = len(point.source) + len(point.target) + len(point.rejected or "")
    return not point.context and 6 * characters + _FRAME <= INLINE_BYTES


def _body(point: DataPoint) -> bytes:
    """The texts of a point, in the order of _BODY; those at the end that it does not have are left out."""
    texts: list[Any] = [point.source, point.target]
    if point.rejected is not None or point.context:
        texts += [point.rejected, [asdict(turn) for turn in point.context]]
    return orjson.dumps(texts)
