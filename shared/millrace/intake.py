"""Collecting a dropped file, once, whatever is delivered twice, late or after a crash. AWS: S3, DynamoDB.

The drop's id is the hash of the object's key and version: a repeated event finds its drop. A lease with an epoch
keeps a second worker out while one works; rows are stored under their content with `<drop>#<line>` as origin, so that
a worker that begins again counts exactly what the first one would have. The report is written before the conclusion,
and the conclusion carries the count of usable pairs in the same transaction.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import aws
from .artifacts import Store
from .clock import fresh_id, stamp
from .contract import DropState
from .corpus import Corpus
from .datapoints import DataPoint, Origin, content_id
from .drops import Refusal, Row, read_csv
from .errors import Conflict, MillraceError, NotFound, Unavailable
from .table import Item, Table, Write
from .tenants import Kind, Tenant

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LEASE_S = 20
"""Renewed while a worker works, given back when it fails: one that was killed holds its drop for no longer, which is
less than a queue's tries take. It saves work only; what keeps the effects apart is the epoch."""
SHOWN_REASONS = 50
REPORTED_REASONS = 10_000
_CHUNK_BYTES = 256 * 1024
_BATCH_ROWS = 256


@dataclass(frozen=True)
class Dropped:
    """One version of one object under drop/<tenant>/."""

    bucket: str
    key: str
    version: str

    @property
    def id(self) -> str:
        return "dr" + hashlib.sha256(f"{self.key}\0{self.version}".encode()).hexdigest()[:20]


@dataclass
class Report:
    drop_id: str
    key: str
    version: str
    state: DropState = DropState.COLLECTED
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    reasons: list[dict[str, Any]] = field(default_factory=list)
    """line and reason of the first REPORTED_REASONS refusals, in line order."""


@dataclass(frozen=True)
class Intake:
    table: Table
    corpus: Corpus
    store: Store
    s3: S3Client

    def collect(self, tenant: Tenant, dropped: Dropped) -> Report | None:
        """Read, store, report, conclude. None where the drop had been collected before.

        Unavailable while another worker holds it: the event comes again.
        """
        epoch = self._begin(tenant, dropped)
        if epoch is None:
            return None
        report = Report(dropped.id, dropped.key, dropped.version)
        try:
            self._read(tenant, dropped, report, epoch)
        except NotFound:
            report.state = DropState.REFUSED
            report.reasons.append({"line": 0, "reason": "the object was deleted before it could be read"})
        except MillraceError:
            self._give_back(tenant, dropped, epoch)
            raise
        self._conclude(tenant, report, epoch)
        return report

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
        return self.table.page(tenant.pk(Kind.DROP), limit, cursor)

    def _begin(self, tenant: Tenant, dropped: Dropped) -> int | None:
        """Take the lease; its epoch. None where the drop is done."""
        pk = tenant.pk(Kind.DROP, dropped.id)
        now, received = time.time(), stamp()
        self.table.put_new(
            {
                "pk": pk,
                "sk": "body",
                "list_pk": tenant.pk(Kind.DROP),
                "list_sk": f"{received}#{dropped.id}",
                "id": dropped.id,
                "key": dropped.key,
                "version": dropped.version,
                "state": str(DropState.RECEIVED),
                "created_at": received,
                "epoch": 0,
                "lease_until": 0,
            }
        )
        item = self.table.get(pk, "body") or {}
        if item["state"] in (DropState.COLLECTED, DropState.REFUSED):
            return None
        if item["lease_until"] > now:
            raise Unavailable(f"{dropped.key} is being collected by another worker.")
        epoch = int(item["epoch"]) + 1
        values = {"state": str(DropState.PROCESSING), "epoch": epoch, "lease_until": int(now) + LEASE_S}
        try:
            self.table.update(Write("update", pk, "body", values, expect={"epoch": epoch - 1}), op=fresh_id("lease-"))
        except Conflict as error:
            raise Unavailable(f"{dropped.key} was taken by another worker.") from error
        return epoch

    def _read(self, tenant: Tenant, dropped: Dropped, report: Report, epoch: int) -> None:
        rows, renewed = iter(read_csv(self._chunks(dropped))), time.time()
        while batch := list(islice(rows, _BATCH_ROWS)):
            self._take(tenant, batch, report)
            if time.time() - renewed > LEASE_S / 2:
                renewed = time.time()
                self._hold(tenant, dropped, epoch, int(renewed) + LEASE_S)

    def _hold(self, tenant: Tenant, dropped: Dropped, epoch: int, until: int) -> None:
        """Move the end of our lease. Conflict where another worker took the drop over."""
        holder = {"epoch": epoch, "state": str(DropState.PROCESSING)}
        pk = tenant.pk(Kind.DROP, dropped.id)
        self.table.update(Write("update", pk, "body", {"lease_until": until}, expect=holder), op=fresh_id("lease-"))

    def _give_back(self, tenant: Tenant, dropped: Dropped, epoch: int) -> None:
        try:
            self._hold(tenant, dropped, epoch, 0)
        except MillraceError:
            return  # it runs out by itself

    def _take(self, tenant: Tenant, batch: list[Row | Refusal], report: Report) -> None:
        created = stamp()
        rows = [row for row in batch if isinstance(row, Row)]
        points = [self.corpus.kept(tenant, _point(row, report.drop_id, created)) for row in rows]
        unique = {point.id: point for point in reversed(points)}
        ours = dict(zip(unique, self.corpus.add_all(tenant, list(unique.values())), strict=True))
        for point in points:
            accepted = ours[point.id] and unique[point.id] is point
            report.accepted += accepted
            report.duplicate += not accepted
        for refusal in (row for row in batch if isinstance(row, Refusal)):
            report.rejected += 1
            if len(report.reasons) < REPORTED_REASONS:
                report.reasons.append(asdict(refusal))

    def _chunks(self, dropped: Dropped) -> Iterator[bytes]:
        with aws.mapped(f"Reading {dropped.key}"):
            pinned = {"VersionId": dropped.version} if dropped.version else {}
            body = self.s3.get_object(Bucket=dropped.bucket, Key=dropped.key, **pinned)["Body"]  # type: ignore[arg-type]
            chunks: Iterable[bytes] = body.iter_chunks(_CHUNK_BYTES)
            yield from chunks

    def _conclude(self, tenant: Tenant, report: Report, epoch: int) -> None:
        if not report.accepted and not report.duplicate:
            report.state = DropState.REFUSED
        key = tenant.prefix("reports", f"{report.drop_id}.json")
        self.store.put_json(key, asdict(report))
        values = {
            "state": str(report.state),
            "accepted": report.accepted,
            "duplicate": report.duplicate,
            "rejected": report.rejected,
            "reasons": report.reasons[:SHOWN_REASONS],
            "report": key,
            "lease_until": 0,
            "concluded_at": stamp(),
        }
        # The state as well as the epoch: a conclusion that is sent twice counts once.
        holder = {"epoch": epoch, "state": str(DropState.PROCESSING)}
        drop = Write("update", tenant.pk(Kind.DROP, report.drop_id), "body", values, expect=holder)
        writes = [drop, *([Corpus.counting(tenant, report.accepted)] if report.accepted else [])]
        self.table.transact(writes, op=f"conclude-{report.drop_id}-{epoch}")


def _point(row: Row, drop_id: str, created_at: str) -> DataPoint:
    return DataPoint(
        id=content_id(row.source, row.target),
        origin=Origin.DROP,
        source=row.source,
        target=row.target,
        created_at=created_at,
        origin_ref=f"{drop_id}#{row.line}",
    )
