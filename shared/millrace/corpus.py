"""Where data points live, how many there are, and the snapshots that jobs train on. AWS: DynamoDB, S3.

A usable pair is stored once and counted once: the count moves in the same transaction as the drop's or the edit's
conclusion. `trained` is the count at which the last training began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import orjson

from .artifacts import Store
from .clock import fresh_id
from .datapoints import SPLITS, DataPoint, Split, split_of
from .datapolicy import Policies
from .errors import Conflict, NotFound
from .table import INSERTS, Item, Table, Write
from .tenants import Kind, Tenant

INLINE_BYTES = 8 * 1024
"""A longer text lives in S3 under its hash."""
COUNTS = "counts"
_WRITERS = 16
_BODY = ("source", "target", "rejected", "context")
"""What of a point's item is text, and lies in S3 where that is long."""


@dataclass(frozen=True)
class Counts:
    usable: int
    trained: int

    @property
    def fresh(self) -> int:
        return self.usable - self.trained


@dataclass(frozen=True)
class Snapshot:
    """An immutable set of data points, named by its content."""

    id: str
    rows: dict[Split, int]
    keys: dict[Split, str]
    """S3 prefix of each split's channel; it holds one data.jsonl."""


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

    def add(self, tenant: Tenant, point: DataPoint) -> bool:
        """Whether this origin owns the pair: False where it stood there already from somewhere else."""
        standing = self.table.put_new(self._item(tenant, point))
        return bool(standing["origin_ref"] == point.origin_ref)

    def add_all(self, tenant: Tenant, points: Sequence[DataPoint]) -> list[bool]:
        """`add` for many points, no two of them the same, a request for every few, several at once."""
        few = [points[first : first + INSERTS] for first in range(0, len(points), INSERTS)]
        with ThreadPoolExecutor(_WRITERS) as pool:
            return list(chain.from_iterable(pool.map(lambda part: self._add(tenant, part), few)))

    def _add(self, tenant: Tenant, points: Sequence[DataPoint]) -> list[bool]:
        return self.table.insert_all([self._item(tenant, point) for point in points], proof="origin_ref")

    def get(self, tenant: Tenant, id: str) -> DataPoint:
        item = self.table.get(tenant.pk(Kind.DATA_POINT, id), "body")
        if item is None:
            raise NotFound(f"There is no data point {id}.")
        return self._read(item)

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[DataPoint], str | None]:
        items, following = self.table.page(tenant.pk(Kind.DATA_POINT), limit, cursor)
        return [self._read(item) for item in items], following

    def counts(self, tenant: Tenant) -> Counts:
        item = self.table.get(tenant.pk(Kind.DATA_POINT), COUNTS) or {}
        return Counts(usable=item.get("usable", 0), trained=item.get("trained", 0))

    def add_edit(self, tenant: Tenant, point: DataPoint, feedback: Write) -> bool:
        """A corrected answer, its feedback item and the count, all or nothing. False where the pair stood already."""
        item = self._item(tenant, point)
        put = Write("put", item.pop("pk"), item.pop("sk"), item, new=True)
        if self.table.get(put.pk, put.sk) is None:
            try:
                self.table.transact([put, feedback, self.counting(tenant, 1)], op=fresh_id("edit-"))
                return True
            except Conflict:
                pass  # somebody else's pair, of the same two texts, was quicker
        standing = self.table.get(put.pk, put.sk) or {}
        self.table.update(feedback, op=fresh_id("feedback-"))
        return bool(standing.get("origin_ref") == point.origin_ref)

    @staticmethod
    def counting(tenant: Tenant, amount: int) -> Write:
        """To be part of the transaction that makes `amount` pairs usable."""
        return Write("update", tenant.pk(Kind.DATA_POINT), COUNTS, add={"usable": amount})

    @staticmethod
    def claiming(tenant: Tenant, counts: Counts) -> Write:
        """To be part of the transaction that starts a training on all that is usable now; one claim wins."""
        expect = {"trained": counts.trained or None}
        return Write("update", tenant.pk(Kind.DATA_POINT), COUNTS, {"trained": counts.usable or None}, expect=expect)

    def snapshot(self, tenant: Tenant, created_at: str) -> Snapshot:
        """Everything usable now, split by content. The same data points give the same snapshot, written once."""
        points = self._trainable(tenant)
        parts: dict[Split, list[DataPoint]] = {split: [] for split in SPLITS}
        for point in points:
            parts[split_of(point.source)].append(point)
        id = "sn" + hashlib.sha256("\n".join(point.id for point in points).encode()).hexdigest()[:20]
        keys = {split: tenant.prefix("snapshots", id, split) + "/" for split in SPLITS}
        hashes = {split: self.store.put(keys[split] + "data.jsonl", _jsonl(parts[split])) for split in SPLITS}
        rows = {split: len(parts[split]) for split in SPLITS}
        manifest = {"id": id, "rows": rows, "sha256": hashes, "data_points": [point.id for point in points]}
        self.store.put_json(tenant.prefix("snapshots", id, "manifest.json"), manifest)
        self.table.put_new(
            {
                "pk": tenant.pk(Kind.SNAPSHOT, id),
                "sk": "body",
                "list_pk": tenant.pk(Kind.SNAPSHOT),
                "list_sk": f"{created_at}#{id}",
                "id": id,
                "rows": rows,
                "sha256": hashes,
                "created_at": created_at,
            }
        )
        return Snapshot(id, rows, keys)

    def load_snapshot(self, tenant: Tenant, id: str) -> Snapshot:
        item = self.table.get(tenant.pk(Kind.SNAPSHOT, id), "body")
        if item is None:
            raise NotFound(f"There is no snapshot {id}.")
        return Snapshot(id, item["rows"], {split: tenant.prefix("snapshots", id, split) + "/" for split in SPLITS})

    def _trainable(self, tenant: Tenant) -> list[DataPoint]:
        """One pair a source, in id order: of several targets the latest edit, else the latest row, stands."""
        best: dict[str, DataPoint] = {}
        for item in self.table.all(tenant.pk(Kind.DATA_POINT)):
            point = self._read(item)
            other = best.get(point.source)
            if point.origin.trains and (other is None or _rank(point) > _rank(other)):
                best[point.source] = point
        return sorted(best.values(), key=lambda point: point.id)

    def _item(self, tenant: Tenant, point: DataPoint) -> Item:
        item = point.to_dict() | {
            "pk": tenant.pk(Kind.DATA_POINT, point.id),
            "sk": "body",
            "list_pk": tenant.pk(Kind.DATA_POINT),
            "list_sk": f"{point.created_at}#{point.id}",
        }
        raw = _body(point)
        if len(raw) > INLINE_BYTES:
            digest = hashlib.sha256(raw).hexdigest()
            self.store.put(tenant.prefix("bodies", digest), raw, "application/json")
            item |= dict.fromkeys(_BODY) | {"body_key": tenant.prefix("bodies", digest), "body_sha256": digest}
        return item

    def _read(self, item: dict[str, Any]) -> DataPoint:
        if "body_key" in item:
            texts = orjson.loads(self.store.get(item["body_key"], item["body_sha256"]))
            item = item | dict(zip(_BODY, texts, strict=False))
        return DataPoint.from_item(item)


def _body(point: DataPoint) -> bytes:
    """The texts of a point, in the order of _BODY; those at the end that it does not have are left out."""
    texts: list[Any] = [point.source, point.target]
    if point.rejected is not None or point.context:
        texts += [point.rejected, [asdict(turn) for turn in point.context]]
    return orjson.dumps(texts)


def _rank(point: DataPoint) -> tuple[bool, str, str]:
    return (point.origin == "edit", point.created_at, point.id)


def _jsonl(points: list[DataPoint]) -> bytes:
    return b"".join(
        orjson.dumps({"id": p.id, "source": p.source, "target": p.target}, option=orjson.OPT_APPEND_NEWLINE)
        for p in points
    )
