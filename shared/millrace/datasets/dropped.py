"""A ZIP of images that was dropped like a file of texts: it becomes a dataset. AWS: S3, DynamoDB.

Known by its content: its directory lists more images than tables. The drop's item names the dataset; both ids derive
from the object's key and version, so that the same event told twice makes one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from .. import aws
from ..clock import fresh_id, stamp
from ..contract import DropState
from ..errors import Conflict, NotFound
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

    def take(self, tenant: Tenant, dropped: Dropped, alive: Callable[[], None] = lambda: None) -> Dataset | None:
        """The dataset that it became; None for what is for somebody else to read.

        `alive` is called with whatever is read or copied: a large archive takes longer than its event is hidden for.
        """
        pk = tenant.pk(Kind.DROP, dropped.id)
        known = self.table.get(pk, "body")
        if known is not None and "dataset_id" not in known:
            return None  # looked at before
        size = self._size(dropped)
        if size is None or (known is None and not self._of_images(dropped, size, alive)):
            return None
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, dropped.id))
        self.table.put_new({**received(tenant, dropped), "dataset_id": id})
        source = {"Bucket": dropped.bucket, "Key": dropped.key, "VersionId": dropped.version}
        named = {name: value for name, value in source.items() if value}
        called = _called(tenant, dropped.key)
        dataset = self.datasets.adopt(tenant, id, *called, named, size, dropped.id, alive)
        self._conclude(pk, known)
        return dataset

    def _conclude(self, pk: str, known: Item | None) -> None:
        if known is not None and known["state"] in ENDED:
            return
        values = {"state": str(DropState.COLLECTED), "concluded_at": stamp(), "told": True}
        expect = {"state": str(DropState.RECEIVED)}
        try:
            self.table.update(Write("update", pk, "body", values, expect=expect), op=fresh_id("images-"))
        except Conflict:
            return  # the dataset was concluded meanwhile, and the drop with it

    def _size(self, dropped: Dropped) -> int | None:
        pinned = {"VersionId": dropped.version} if dropped.version else {}
        try:
            with aws.mapped(f"Looking at {dropped.key}"):
                answer = self.datasets.uploads.s3.head_object(Bucket=dropped.bucket, Key=dropped.key, **pinned)  # type: ignore[arg-type]
        except NotFound:
            return None
        return int(answer["ContentLength"])

    def _of_images(self, dropped: Dropped, size: int, alive: Callable[[], None]) -> bool:
        ranges = Ranges(self.datasets.uploads.s3, dropped.bucket, dropped.key, dropped.version)

        def read(offset: int, length: int) -> bytes:
            alive()
            return ranges(offset, length)

        return size >= 22 and ranges(0, 4) in _ZIP and of_images(read, size)


def _called(tenant: Tenant, key: str) -> tuple[str, str]:
    """Name and domain, from where it was dropped."""
    *folders, file = key.removeprefix(tenant.drop_prefix).split("/")
    name = "".join(c if c.isprintable() else " " for c in file.rpartition(".")[0] or file)
    domain = "".join(c if c.isprintable() else " " for c in folders[0]) if folders else ""
    return name[:MAX_NAME].strip() or "dropped", domain[:MAX_NAME].strip() or DOMAIN
