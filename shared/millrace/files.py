"""Files that OpenAI's clients send for training: kept as they came, collected like a drop, frozen as a snapshot.

AWS: S3, DynamoDB. A file is JSON lines, chats or preferences; its rows become data points through the one intake, so
that its report, the counts and the tenant's privacy hold for them too. The snapshot holds this file's rows alone, and
none whose data point was deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .clock import fresh_id, stamp
from .datapoints import DataPoint
from .drops import Drop, Row
from .errors import Conflict, InvalidInput, NotFound
from .intake import Dropped, Intake, point_of
from .mapping import column_mapping
from .ranges import Pinned
from .table import Item
from .tenants import Kind, Tenant

PURPOSE = "fine-tune"
MAX_BYTES = 6 * 1024 * 1024
"""What a request through API Gateway to a function can carry; more comes by the drop folder."""
COLLECT_S = 15.0
"""Of a request; a file that takes longer is collected on by the next one that asks for it."""
NAME = "data.jsonl"


@dataclass(frozen=True)
class Files:
    intake: Intake
    bucket: str
    """Of data."""

    def create(self, tenant: Tenant, filename: str, purpose: str, body: bytes) -> Item:
        """Keep the file and collect its rows. InvalidInput for what can teach nothing."""
        if purpose != PURPOSE:
            raise InvalidInput(f"The purpose of a file is {PURPOSE}, not {purpose!r}.")
        if not body.strip():
            raise InvalidInput(f"{filename} is empty.")
        id, created = fresh_id("file-"), stamp()
        key = tenant.prefix("files", id, NAME)
        version = self.intake.s3.put_object(Bucket=self.bucket, Key=key, Body=body).get("VersionId", "")
        item = {
            "pk": tenant.pk(Kind.FILE, id),
            "sk": "body",
            "list_pk": tenant.pk(Kind.FILE),
            "list_sk": f"{created}#{id}",
            "id": id,
            "filename": filename,
            "purpose": purpose,
            "size_bytes": len(body),
            "key": key,
            "version": version,
            "created_at": created,
        }
        self.intake.table.put(item)
        self.collect(tenant, item)
        return self.get(tenant, id)

    def get(self, tenant: Tenant, id: str) -> Item:
        """The file with what became of its rows: `report` is its drop, None before the first row."""
        item = self.intake.table.get(tenant.pk(Kind.FILE, id), "body")
        if item is None:
            raise NotFound(f"There is no file {id}.")
        report = self.intake.table.get(tenant.pk(Kind.DROP, _dropped(self.bucket, item).id), "body")
        return {**item, "report": report}

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
        items, following = self.intake.table.page(tenant.pk(Kind.FILE), limit, cursor)
        return [self.get(tenant, item["id"]) for item in items], following

    def content(self, tenant: Tenant, id: str) -> bytes:
        return self.intake.store.get(self.get(tenant, id)["key"])

    def delete(self, tenant: Tenant, id: str) -> None:
        """Forget the file. What was collected from it stays until it is deleted as data."""
        item = self.get(tenant, id)
        self.intake.table.delete(item["pk"], item["sk"])

    def collect(self, tenant: Tenant, item: Item) -> None:
        """As far as this request's time allows; again where it stopped."""
        self.intake.collect(tenant, _dropped(self.bucket, item), time.time() + COLLECT_S)

    def snapshot(self, tenant: Tenant, id: str) -> str:
        """Id of the snapshot of this file's rows. Conflict while it is still collected, InvalidInput for no rows."""
        item = self.get(tenant, id)
        if (item["report"] or {}).get("state") not in ("collected", "refused"):
            self.collect(tenant, item)
            item = self.get(tenant, id)
        if (item["report"] or {}).get("state") not in ("collected", "refused"):
            raise Conflict(f"{id} is still being read; ask again in some seconds.")
        rows = {row.id: row for row in self._rows(tenant, item)}
        if not rows:
            raise InvalidInput(f"{id} has no row that can be trained on: {why(item)}.")
        kept = {row.id: self.intake.corpus.kept(tenant, row) for row in rows.values()}
        gone = self.intake.corpus.deleted(tenant, [*rows, *(point.id for point in kept.values())])
        points = {point.id: point for id, point in kept.items() if not {id, point.id} & gone}
        if not points:
            raise InvalidInput(f"{id} has no row that can be trained on: all of them were deleted as data.")
        return self.intake.corpus.snapshot_of(tenant, list(points.values()), stamp()).id

    def _rows(self, tenant: Tenant, item: Item) -> Iterator[DataPoint]:
        dropped = _dropped(self.bucket, item)
        source = Pinned(self.intake.s3, dropped.bucket, dropped.key, dropped.version)
        for record in Drop(source, column_mapping(self.intake.table, tenant)):
            if isinstance(record, Row):
                yield point_of(record, dropped.id, item["created_at"])


def _dropped(bucket: str, item: Item) -> Dropped:
    return Dropped(bucket, item["key"], item["version"])


def why(item: Item) -> str:
    """The first reason for which a row was refused."""
    reasons: list[dict[str, Any]] = (item["report"] or {}).get("reasons") or []
    return f"line {reasons[0]['line']}: {reasons[0]['reason']}" if reasons else "it has no rows"


def unix(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())
