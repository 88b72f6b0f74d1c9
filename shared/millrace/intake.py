"""Collecting a dropped file, once, whatever is delivered twice, late or after a crash. AWS: S3, DynamoDB, EventBridge.

The drop's id is the hash of the object's key and version: a repeated event finds its drop. A lease with an epoch
keeps a second worker out while one works; rows are stored under their content with `<drop>#<place>` as origin, so that
a worker that begins again counts exactly what the first one would have. Every few seconds a checkpoint says up to where
rows are stored and how many; a worker that runs out of time stops there, and another goes on, in another process. The
report is written before the conclusion, and the conclusion carries the count of usable pairs in the same transaction.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from .artifacts import Store
from .clock import fresh_id, stamp
from .contract import DropState, EventType
from .corpus import Corpus
from .datapoints import DataPoint, Origin, content_id
from .drops import Drop, Refusal, Row
from .errors import Conflict, MillraceError, NotFound, Unavailable
from .events import Events
from .mapping import column_mapping
from .ranges import Gone, Pinned
from .reports import Report, Reports
from .table import Item, Table, Write
from .tenants import Kind, Tenant

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LEASE_S = 20
"""Renewed with every checkpoint, given back when a worker fails: one that was killed holds its drop for no longer. It
saves work only; what keeps the effects apart is the epoch."""
CHECKPOINT_S = 5
_BLOCK_ROWS = 1000
_BLOCK_CHARACTERS = 2_000_000
"""What is read before it is stored: a block fills many requests at once, and is small however long its texts."""
ENDED = (DropState.COLLECTED, DropState.REFUSED)


@dataclass(frozen=True)
class Dropped:
    """One version of one object under drop/<tenant>/."""

    bucket: str
    key: str
    version: str

    @property
    def id(self) -> str:
        return "dr" + hashlib.sha256(f"{self.key}\0{self.version}".encode()).hexdigest()[:20]


@dataclass(frozen=True)
class _Held:
    """A drop that is ours for as long as the lease runs and nobody raises the epoch."""

    pk: str
    epoch: int
    mapping: Mapping[str, str]
    mark: Mapping[str, Any]
    report: Report


@dataclass(frozen=True)
class Intake:
    table: Table
    corpus: Corpus
    store: Store
    s3: S3Client
    events: Events | None = None

    def collect(
        self,
        tenant: Tenant,
        dropped: Dropped,
        ends_at: float = float("inf"),
        alive: Callable[[], None] = lambda: None,
    ) -> Report | None:
        """Read, store, report, conclude. None where the drop had been collected before.

        At `ends_at` (seconds since 1970) it stops at a checkpoint, and the report's state is `processing`: call again.
        `alive` is called at every checkpoint. Unavailable while another worker holds the drop: the event comes again.
        """
        held = self._begin(tenant, dropped)
        if held is None:
            return None
        try:
            done = self._read(tenant, dropped, held, ends_at, alive)
        except Gone:
            held.report.refuse([Refusal(0, "the object was deleted before it could be read")])
            done = True
        except MillraceError:
            self._give_back(held)
            raise
        if done:
            self._conclude(tenant, held)
        return held.report

    def get(self, tenant: Tenant, id: str) -> Item:
        item = self.table.get(tenant.pk(Kind.DROP, id), "body")
        if item is None:
            raise NotFound(f"There is no drop {id}.")
        return item

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
        return self.table.page(tenant.pk(Kind.DROP), limit, cursor)

    def _begin(self, tenant: Tenant, dropped: Dropped) -> _Held | None:
        """Take the lease. None where the drop is done."""
        pk, now = tenant.pk(Kind.DROP, dropped.id), time.time()
        item = self.table.put_new(received(tenant, dropped))
        if item["state"] in ENDED:
            self._tell(tenant, item)
            return None
        if item["lease_until"] > now:
            raise Unavailable(f"{dropped.key} is being collected by another worker.")
        epoch = int(item["epoch"]) + 1
        mapping = item["mapping"] if "mapping" in item else column_mapping(self.table, tenant)
        values = {
            "state": str(DropState.PROCESSING),
            "epoch": epoch,
            "lease_until": int(now) + LEASE_S,
            "mapping": mapping,
        }
        try:
            self.table.update(Write("update", pk, "body", values, expect={"epoch": epoch - 1}), op=fresh_id("lease-"))
        except Conflict as error:
            raise Unavailable(f"{dropped.key} was taken by another worker.") from error
        return _Held(pk, epoch, mapping, orjson.loads(item.get("mark", "{}")), Report.from_item(item))

    def _read(self, tenant: Tenant, dropped: Dropped, held: _Held, ends_at: float, alive: Callable[[], None]) -> bool:
        """Whether the end of the file was reached."""
        source = Pinned(self.s3, dropped.bucket, dropped.key, dropped.version)
        drop = Drop(source, held.mapping, held.mark)
        records, saved = iter(drop), time.time()
        while block := list(_block(records)):
            self._take(tenant, block, held.report)
            now = time.time()
            if now >= ends_at or now - saved >= CHECKPOINT_S or held.report.crowded:
                saved = now
                self._checkpoint(tenant, held, drop.mark(), 0 if now >= ends_at else int(now) + LEASE_S)
                alive()
                if now >= ends_at:
                    return False
        return True

    def _take(self, tenant: Tenant, block: list[Row | Refusal], report: Report) -> None:
        created = stamp()
        rows = [row for row in block if isinstance(row, Row)]
        points = [self.corpus.kept(tenant, point_of(row, report.drop_id, created)) for row in rows]
        unique = {point.id: point for point in reversed(points)}
        ours = dict(zip(unique, self.corpus.add_all(tenant, list(unique.values())), strict=True))
        accepted = sum(ours[point.id] and unique[point.id] is point for point in points)
        report.accepted += accepted
        report.duplicate += len(points) - accepted
        report.refuse(record for record in block if isinstance(record, Refusal))

    def _checkpoint(self, tenant: Tenant, held: _Held, mark: Mapping[str, Any], until: int) -> None:
        """What is stored is known, refusals too. Conflict where another worker took the drop over."""
        Reports(self.store).save(tenant, held.report, held.epoch)
        self._hold(held, {"mark": orjson.dumps(mark).decode(), "lease_until": until, **held.report.figures()})

    def _hold(self, held: _Held, values: Mapping[str, Any]) -> None:
        holder = {"epoch": held.epoch, "state": str(DropState.PROCESSING)}
        self.table.update(Write("update", held.pk, "body", values, expect=holder), op=fresh_id("lease-"))

    def _give_back(self, held: _Held) -> None:
        try:
            self._hold(held, {"lease_until": 0})
        except MillraceError:
            return  # it runs out by itself

    def _conclude(self, tenant: Tenant, held: _Held) -> None:
        report = held.report
        report.state = DropState.COLLECTED if report.accepted or report.duplicate else DropState.REFUSED
        key = Reports(self.store).write(tenant, report, held.epoch)
        values = {
            "state": str(report.state),
            **report.figures(),
            "reasons": report.shown(),
            "report": key,
            "lease_until": 0,
            "mark": None,
            "concluded_at": stamp(),
        }
        # The state as well as the epoch: a conclusion that is sent twice counts once.
        holder = {"epoch": held.epoch, "state": str(DropState.PROCESSING)}
        drop = Write("update", held.pk, "body", values, expect=holder)
        writes = [drop, *([Corpus.counting(tenant, report.accepted)] if report.accepted else [])]
        self.table.transact(writes, op=f"conclude-{report.drop_id}-{held.epoch}")
        self._tell(
            tenant, {"pk": held.pk, "id": report.drop_id, "key": report.key, "version": report.version, **values}
        )

    def _tell(self, tenant: Tenant, item: Item) -> None:
        """After the conclusion: a worker that ends in between leaves it to the next delivery of the drop's event."""
        if self.events is None or "told" in item:
            return
        self.events.tell(tenant, EventType.DROP_COLLECTED, item["id"], item["key"], collected(item))
        self.table.update(Write("update", item["pk"], "body", {"told": True}), op=fresh_id("told-"))


def collected(item: Item) -> dict[str, Any]:
    """What the event says of a drop that has ended."""
    return {name: item.get(name, 0) for name in ("id", "key", "state", "accepted", "duplicate", "rejected", "report")}


def received(tenant: Tenant, dropped: Dropped) -> Item:
    """The item of a drop whose event has come and that nobody has looked at."""
    at = stamp()
    return {
        "pk": tenant.pk(Kind.DROP, dropped.id),
        "sk": "body",
        "list_pk": tenant.pk(Kind.DROP),
        "list_sk": f"{at}#{dropped.id}",
        "id": dropped.id,
        "key": dropped.key,
        "version": dropped.version,
        "state": str(DropState.RECEIVED),
        "created_at": at,
        "epoch": 0,
        "lease_until": 0,
    }


def _block(records: Iterator[Row | Refusal]) -> Iterator[Row | Refusal]:
    count = characters = 0
    for record in records:
        yield record
        count += 1
        if isinstance(record, Row):
            characters += len(record.source) + len(record.target) + len(record.rejected or "")
            if record.context:
                characters += sum(len(turn.text) for turn in record.context)
        if count >= _BLOCK_ROWS or characters >= _BLOCK_CHARACTERS:
            return


def point_of(row: Row, drop_id: str, created_at: str) -> DataPoint:
    """A row of a drop as the example that it is."""
    return DataPoint(
        id=content_id(row.source, row.target, rejected=row.rejected, context=row.context),
        origin=Origin.DROP,
        source=row.source,
        target=row.target,
        created_at=created_at,
        origin_ref=f"{drop_id}#{row.ref}",
        rejected=row.rejected,
        context=row.context,
    )
