"""The intake of an archive: plan, look at each slice, merge. The use-cases behind the state machine `unpack`. AWS: S3.

Everything here may run twice, and an attempt goes on where the last one stopped: what a slice saw, all or so far, lies
under work/<version of the archive>/ and is not looked for again. dataset.json is written last but for the state itself.
"""

from __future__ import annotations

import base64
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from .. import aws
from ..artifacts import Store
from ..contract import ARCHIVE, DatasetState
from ..tenants import Tenant
from .dataset import Dataset, archive_key, first_classes, folder, work_of
from .decoding import Decoder
from .directory import HostileArchive
from .indexing import Index, Item
from .layout import NoLayout
from .looking import Seen, look_at
from .merging import Merge
from .ranges import Ranges
from .repository import Datasets
from .uploads import purge

CHECKPOINT_S = 60
"""Between two of a slice: what a function that dies has looked at for nothing."""
SHOWN_WARNINGS = 50
FORMAT = 1


@dataclass(frozen=True)
class Intake:
    datasets: Datasets
    store: Store
    temporary: Path | None = None

    def plan(self, tenant: Tenant, id: str, attempt: int) -> dict[str, Any]:
        """{"outcome": "go" or "refused", "bucket", "key"}: where the list of slices lies. Refusals are concluded."""
        dataset = self.datasets.working(tenant, id, attempt)
        listing = self._work(tenant, dataset, "slices.json")
        if not self.store.exists(listing):
            try:
                self._write_slices(tenant, dataset, listing)
            except (HostileArchive, NoLayout) as refusal:
                self._refuse(tenant, dataset, refusal.reason)
                return {"outcome": "refused", "bucket": self.store.bucket, "key": listing}
        return {"outcome": "go", "bucket": self.store.bucket, "key": listing}

    def _write_slices(self, tenant: Tenant, dataset: Dataset, listing: str) -> None:
        ranges = self._ranges(tenant, dataset)
        with Index(ranges, dataset.size_bytes) as index:
            plan, layout = index.plan()
            slices = []
            for number, items in enumerate(index.slices(plan, layout)):
                body = orjson.dumps([item.to_list() for item in items])
                self.store.put(self._work(tenant, dataset, f"{number:05}.json"), body, "application/json")
                slices.append({"slice": number})
        if not slices:
            raise NoLayout("No file in the archive can be an image of a class; the report tells of each why.")
        told = plan.to_dict() | {"requests": ranges.requests, "fetched_bytes": ranges.fetched_bytes}
        self.store.put_json(self._work(tenant, dataset, "plan.json"), told)
        self.datasets.note(tenant, dataset, {"images": plan.items})
        self.store.put_json(listing, slices)

    def look(
        self, tenant: Tenant, id: str, attempt: int, number: int, left_s: Callable[[], float] = lambda: math.inf
    ) -> bool:
        """One slice, or as much of it as there is time left for; whether all of it has been looked at."""
        dataset = self.datasets.working(tenant, id, attempt)
        done, part = (self._work(tenant, dataset, f"{number:05}.{kind}.json") for kind in ("seen", "part"))
        if self.store.exists(done):
            return True
        items = [Item.from_list(each) for each in self._read(self._work(tenant, dataset, f"{number:05}.json"))]
        ranges = self._ranges(tenant, dataset)
        limit = int(self._plan(tenant, dataset)["directory"]["offset"])
        seen = Seen(**self._read(part)) if self.store.exists(part) else Seen()
        ranges.requests, ranges.fetched_bytes = seen.requests, seen.fetched_bytes
        saved, saved_at = seen.looked, time.monotonic()

        def save(key: str) -> None:
            nonlocal saved, saved_at
            seen.requests, seen.fetched_bytes = ranges.requests, ranges.fetched_bytes
            self.store.put(key, orjson.dumps(asdict(seen)), "application/json")
            self.datasets.note(tenant, dataset, add={"looked": seen.looked - saved})
            saved, saved_at = seen.looked, time.monotonic()

        def stop() -> bool:
            if time.monotonic() - saved_at >= CHECKPOINT_S:
                save(part)
            return left_s() <= 0

        with Decoder() as decoder:
            ended = look_at(items, ranges, limit, decoder.look, seen, stop)
        save(done if ended else part)
        return ended

    def merge(self, tenant: Tenant, id: str, attempt: int) -> Dataset:
        """The channel, the report and the thumbnails; then the dataset is ready."""
        dataset = self.datasets.working(tenant, id, attempt)
        plan = self._plan(tenant, dataset)
        with tempfile.TemporaryDirectory(dir=self.temporary) as place, Merge(Path(place) / "merge.db") as merge:
            for slice in self._read(self._work(tenant, dataset, "slices.json")):
                seen = self._read(self._work(tenant, dataset, f"{slice['slice']:05}.seen.json"))
                if seen["refused"]:
                    return self._refuse(tenant, dataset, seen["refused"])
                merge.add(seen)
            merge.settle()
            report = merge.report(plan)
            if not merge.samples:
                self.store.put_json(self._report(tenant, id), report)
                reason = {
                    "code": "no-image",
                    "text": "Not one image of the archive could be taken; the report says why.",
                }
                return self._refuse(tenant, dataset, reason, report["rejected"])
            report["previews"] = self._write_previews(tenant, id, merge)
            self._write_index(tenant, id, merge, Path(place) / "index.jsonl")
        self.store.put_json(self._report(tenant, id), report)
        self._write_dataset(tenant, dataset, merge, report)
        ready = self.datasets.conclude(
            tenant, id, attempt, DatasetState.READY, _told(merge, report), report["rejected"]
        )
        purge(self.datasets.uploads.s3, self.store.bucket, folder(tenant, id, "work") + "/")
        return ready

    def fail(self, tenant: Tenant, id: str, attempt: int, error: Any) -> Dataset | None:
        """The end of an execution that failed. None where the dataset has moved on or is gone."""
        dataset = self.datasets.find(tenant, id)
        if dataset is None or dataset.attempt != attempt or dataset.state is not DatasetState.PROCESSING:
            return dataset
        reason = {"code": "failed", "text": _sentence(error)}
        return self.datasets.conclude(tenant, id, attempt, DatasetState.ERROR, {"reasons": [reason]})

    def report(self, tenant: Tenant, id: str) -> Mapping[str, Any]:
        """What the intake found. NotFound before it has ended."""
        self.datasets.get(tenant, id)
        found: Mapping[str, Any] = self.store.get_json(self._report(tenant, id))
        return found

    def classes(self, tenant: Tenant, dataset: Dataset) -> Sequence[str]:
        """All of them, in the order of their labels."""
        if len(dataset.classes) == dataset.class_count:
            return dataset.classes
        found: list[str] = self.store.get_json(_described(tenant, dataset.id))["classes"]
        return found

    # --- what they write ----------------------------------------------------------------------------------------------
    def _refuse(
        self,
        tenant: Tenant,
        dataset: Dataset,
        reason: Mapping[str, str],
        rejected: Sequence[Mapping[str, str]] = (),
    ) -> Dataset:
        values = {"reasons": [dict(reason)]}
        return self.datasets.conclude(tenant, dataset.id, dataset.attempt, DatasetState.ERROR, values, rejected)

    def _write_previews(self, tenant: Tenant, id: str, merge: Merge) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for number, (label, found) in enumerate(merge.shown().items()):
            for place, body in enumerate(found):
                key = folder(tenant, id, "preview", f"{number:04}-{place}.webp")
                self.store.put(key, base64.b64decode(body), "image/webp")
                keys.setdefault(label, []).append(key)
        return keys

    def _write_index(self, tenant: Tenant, id: str, merge: Merge, path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(merge.lines())
        from s3transfer.manager import TransferManager

        with aws.mapped("Writing the index"):
            key = folder(tenant, id, "channel", "index.jsonl")
            with TransferManager(self.datasets.uploads.s3) as transfers:
                transfers.upload(str(path), self.store.bucket, key).result()

    def _write_dataset(self, tenant: Tenant, dataset: Dataset, merge: Merge, report: Mapping[str, Any]) -> None:
        told = {
            "id": dataset.id,
            "name": dataset.name,
            "domain": dataset.domain,
            "classes": merge.classes,
            "samples": merge.samples,
            "archive": ARCHIVE.rpartition("/")[2],
            "archive_size": dataset.size_bytes,
            "archive_version": dataset.version,
            "counts": report["counts"],
            "format": FORMAT,
        }
        self.store.put_json(_described(tenant, dataset.id), told)

    # --- where things lie ---------------------------------------------------------------------------------------------
    def _work(self, tenant: Tenant, dataset: Dataset, name: str) -> str:
        return folder(tenant, dataset.id, "work", work_of(dataset.version or ""), name)

    def _report(self, tenant: Tenant, id: str) -> str:
        return folder(tenant, id, "report.json")

    def _ranges(self, tenant: Tenant, dataset: Dataset) -> Ranges:
        s3 = self.datasets.uploads.s3
        return Ranges(s3, self.store.bucket, archive_key(tenant, dataset.id), dataset.version or "")

    def _plan(self, tenant: Tenant, dataset: Dataset) -> dict[str, Any]:
        found: dict[str, Any] = self._read(self._work(tenant, dataset, "plan.json"))
        return found

    def _read(self, key: str) -> Any:
        return orjson.loads(self.store.get(key))


def _described(tenant: Tenant, id: str) -> str:
    return folder(tenant, id, "channel", "dataset.json")


def _told(merge: Merge, report: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the dataset's item: figures, never lists of images."""
    names = ("layout", "rejections", "hidden", "other", "duplicates", "across_splits", "across_classes", "formats")
    summary = {name: report[name] for name in names} | {"warnings": report["warnings"][:SHOWN_WARNINGS]}
    classes = {"classes": first_classes(merge.classes), "class_count": len(merge.classes)}
    return {"total_samples": merge.samples, **classes, "summary": summary, "reasons": []}


def _sentence(error: Any) -> str:
    cause = str((error or {}).get("Cause") or "") if isinstance(error, Mapping) else ""
    try:
        told = orjson.loads(cause)
        cause = str(told.get("errorMessage") or cause) if isinstance(told, Mapping) else cause
    except orjson.JSONDecodeError:
        pass
    return (cause or "The intake failed without a reason.")[:1000]
