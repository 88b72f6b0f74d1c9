"""A ZIP of images that was dropped like a file of texts: it becomes a dataset. AWS: S3, DynamoDB.

Known by its content: its directory lists more images than tables. The drop's item names the dataset; both ids derive
from the object's key and version, so that the same event told twice makes one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from .. import aws
from ..clock import fresh_id, stamp
from ..contract import DropState
from ..errors import NotFound
from ..intake import ENDED, Dropped, received
from ..table import Item, Table, Write
from ..tenants import Kind, Tenant
from .dataset import MAX_NAME, Dataset
from .indexing import of_images
from .ranges import Ranges
from .repository import Datasets

DOMAIN = "images"
"""Of a dataset that was dropped; one that lies in a folder of the drop folder takes that folder's name."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class DroppedImages:
    table: Table
    datasets: Datasets

    def take(self, tenant: Tenant, dropped: Dropped) -> Dataset | None:
        """The dataset that it became; None for what is for somebody else to read."""
        pk = tenant.pk(Kind.DROP, dropped.id)
        known = self.table.get(pk, "body")
        if known is not None and "dataset_id" not in known:
            return None  # looked at before
        size = self._size(dropped)
        if size is None or (known is None and not self._of_images(dropped, size)):
            return None
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, dropped.id))
        self.table.put_new({**received(tenant, dropped), "dataset_id": id})
        source = {"Bucket": dropped.bucket, "Key": dropped.key, "VersionId": dropped.version}
        named = {name: value for name, value in source.items() if value}
        dataset = self.datasets.adopt(tenant, id, *_called(tenant, dropped.key), named, size)
        self._conclude(pk, known)
        return dataset

    def _conclude(self, pk: str, known: Item | None) -> None:
        if known is not None and known["state"] in ENDED:
            return
        values = {"state": str(DropState.COLLECTED), "concluded_at": stamp(), "told": True}
        self.table.update(Write("update", pk, "body", values), op=fresh_id("images-"))

    def _size(self, dropped: Dropped) -> int | None:
        pinned = {"VersionId": dropped.version} if dropped.version else {}
        try:
            with aws.mapped(f"Looking at {dropped.key}"):
                answer = self.datasets.uploads.s3.head_object(Bucket=dropped.bucket, Key=dropped.key, **pinned)  # type: ignore[arg-type]
        except NotFound:
            return None
        return int(answer["ContentLength"])

    def _of_images(self, dropped: Dropped, size: int) -> bool:
        read = Ranges(self.datasets.uploads.s3, dropped.bucket, dropped.key, dropped.version)
        return size >= 22 and read(0, 4) in _ZIP and of_images(read, size)


def _called(tenant: Tenant, key: str) -> tuple[str, str]:
    """Name and domain, from where it was dropped."""
    *folders, file = key.removeprefix(tenant.drop_prefix).split("/")
    name = "".join(c if c.isprintable() else " " for c in file.rpartition(".")[0] or file)
    domain = "".join(c if c.isprintable() else " " for c in folders[0]) if folders else ""
    return name[:MAX_NAME].strip() or "dropped", domain[:MAX_NAME].strip() or DOMAIN
