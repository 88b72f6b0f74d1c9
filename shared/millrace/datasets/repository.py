"""The life of datasets. AWS: DynamoDB, Step Functions, S3 (to delete).

A dataset is an item; while something is under way (an upload, an intake, a deletion) a second item under
`@system#active-dataset` says so, and the sweeper finds whatever nobody works on any more. One attempt of an intake is
one execution of the state machine `unpack`, named `<dataset>-<attempt>`: starting it again is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import orjson

from .. import aws
from ..artifacts import Store
from ..clock import fresh_id, stamp
from ..contract import DatasetState
from ..errors import Conflict, MillraceError, NotFound, Unavailable
from ..events import Events
from ..table import Item, Table, Write
from ..tenants import Kind, Tenant, system_pk
from .dataset import OPEN, Dataset, archive_key, folder, may_become, named
from .reported import report_drop
from .uploads import Uploads, purge

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

MAX_ATTEMPTS = 3
_PAGES = 10
"""Pages that one request looks through for what the filters ask for; then it answers with what it has."""
LOST = timedelta(minutes=15)
"""After so long, what a dataset does not know of is nobody's: longer than any function lives."""
Deed = Literal["left", "begun", "restarted", "failed", "cleared", "aborted", "deleted"]


@dataclass(frozen=True)
class Wanted:
    """Filters of a list; None asks for nothing."""

    domain: str | None = None
    state: DatasetState | None = None
    search: str | None = None

    def fits(self, item: Item) -> bool:
        words = (self.search or "").casefold().split()
        text = f"{item['name']} {item['domain']} {' '.join(item.get('classes', ()))}".casefold()
        return (
            not item.get("deleting")
            and self.domain in (None, item["domain"])
            and (self.state is None or item["state"] == str(self.state))
            and all(word in text for word in words)
        )


@dataclass(frozen=True)
class Datasets:
    table: Table
    uploads: Uploads
    machine: str
    """ARN of the state machine `unpack`."""
    stepfunctions: SFNClient
    events: Events | None = None
    """Of who concludes: a drop that became a dataset has ended with it."""

    # --- reading ------------------------------------------------------------------------------------------------------
    def get(self, tenant: Tenant, id: str) -> Dataset:
        dataset = self.find(tenant, id)
        if dataset is None or dataset.deleting:
            raise NotFound(f"There is no dataset {id}.")
        return dataset

    def find(self, tenant: Tenant, id: str) -> Dataset | None:
        """Also one that is being deleted."""
        item = self.table.get(tenant.pk(Kind.DATASET, id), "body")
        return Dataset.from_item(item) if item else None

    def page(
        self, tenant: Tenant, limit: int, cursor: str | None, wanted: Wanted = Wanted()
    ) -> tuple[list[Dataset], str | None]:
        """Newest first. A filtered page may be short and yet have a next one: the reading is bounded."""
        found: list[Dataset] = []
        for _ in range(_PAGES):
            items, cursor = self.table.page(tenant.pk(Kind.DATASET), limit - len(found), cursor)
            found += [Dataset.from_item(item) for item in items if wanted.fits(item)]
            if cursor is None or len(found) >= limit:
                break
        return found, cursor

    # --- making and naming --------------------------------------------------------------------------------------------
    def create(self, tenant: Tenant, id: str, name: str, domain: str, drop_id: str | None = None) -> Dataset:
        """A draft. A repeat with the same id finds the first one."""
        now = stamp()
        draft = Dataset(id, named(name), named(domain), DatasetState.DRAFT, now, now, drop_id=drop_id)
        item = {"pk": tenant.pk(Kind.DATASET, id), "sk": "body", **draft.to_item(tenant)}
        return Dataset.from_item(self.table.put_new(item))

    def change(self, tenant: Tenant, id: str, name: str | None = None, domain: str | None = None) -> Dataset:
        given = {"name": name, "domain": domain}
        values = {field: named(text) for field, text in given.items() if text is not None}
        return self._update(tenant, id, values, {"deleting": False}, "change-")

    # --- an upload ----------------------------------------------------------------------------------------------------
    def begin_upload(self, tenant: Tenant, id: str, size_bytes: int, fingerprint: str | None) -> Dataset:
        """The upload that is under way, or a new one. Conflict where it is of another file, or none may be sent."""
        dataset = self._open(tenant, id)
        if dataset.upload is None:
            self._mark(tenant, id)  # first, so that an upload which nobody gets to know of is found
            upload = self.uploads.begin(archive_key(tenant, id), size_bytes, fingerprint)
            expect = {"upload": None, "deleting": False, "state": tuple(map(str, OPEN))}
            try:
                dataset = self._update(tenant, id, {"upload": upload}, expect, "upload-")
            except Conflict:
                self.uploads.abort(archive_key(tenant, id), upload)
                dataset = self._open(tenant, id)
        standing = dataset.upload or {}
        if (standing.get("size_bytes"), standing.get("fingerprint")) != (size_bytes, fingerprint):
            raise Conflict(
                f"Dataset {id} awaits another file, of {standing.get('size_bytes')} bytes; abort that first."
            )
        return dataset

    def uploading(self, tenant: Tenant, id: str) -> tuple[Dataset, Mapping[str, Any]]:
        dataset = self.get(tenant, id)
        if dataset.upload is None:
            raise NotFound(f"Nothing is being uploaded to dataset {id}.")
        return dataset, dataset.upload

    def complete_upload(self, tenant: Tenant, id: str) -> Dataset:
        """Put the parts together. The event of the new object begins its intake; so does this, whichever is first."""
        dataset = self.get(tenant, id)
        if dataset.upload is None and dataset.version is not None:
            return dataset
        _, upload = self.uploading(tenant, id)
        version = self.uploads.complete(archive_key(tenant, id), upload)
        return self.begin(tenant, id, version, int(upload["size_bytes"]))

    def abort_upload(self, tenant: Tenant, id: str) -> Dataset:
        _, upload = self.uploading(tenant, id)
        self.uploads.abort(archive_key(tenant, id), upload)
        expect = {"deleting": False, "state": tuple(map(str, OPEN))}
        dataset = self._update(tenant, id, {"upload": None}, expect, "abort-")
        self._unmark(id)
        return dataset

    def put(self, tenant: Tenant, id: str, body: bytes) -> Dataset:
        """A small archive in one piece."""
        dataset = self._open(tenant, id)
        if dataset.upload is not None:
            raise Conflict(f"An upload to dataset {id} is under way; complete or abort it first.")
        self._mark(tenant, id)
        return self.begin(tenant, id, self.uploads.put(archive_key(tenant, id), body), len(body))

    def adopt(
        self,
        tenant: Tenant,
        id: str,
        name: str,
        domain: str,
        source: Mapping[str, str],
        size_bytes: int,
        drop_id: str | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> Dataset:
        """A dataset of an archive that lies elsewhere: copied by S3 itself. May be repeated.

        `alive` is called with every part.
        """
        dataset = self.create(tenant, id, name, domain, drop_id)
        if dataset.version is None and not dataset.deleting:
            self._mark(tenant, id)
            version = self.uploads.copy(archive_key(tenant, id), source, size_bytes, alive)
            dataset = self.begin(tenant, id, version, size_bytes)
        return dataset

    # --- an intake ----------------------------------------------------------------------------------------------------
    def begin(self, tenant: Tenant, id: str, version: str, size_bytes: int) -> Dataset:
        """An archive is there: process it. Told twice, or too late, it changes nothing."""
        dataset = self.get(tenant, id)
        if dataset.state in OPEN and dataset.version != version:
            self._mark(tenant, id)
            values = {
                "state": str(DatasetState.PROCESSING),
                "version": version,
                "size_bytes": size_bytes,
                "attempt": dataset.attempt + 1,
                "first_attempt": dataset.attempt + 1,
                "upload": None,
                "reasons": [],
                "images": 0,
                "looked": 0,
            }
            expect = {"state": str(dataset.state), "attempt": dataset.attempt, "deleting": False}
            try:
                dataset = self._update(tenant, id, values, expect, "begin-")
            except Conflict:
                return self.get(tenant, id)  # the other teller was quicker
        if dataset.state is DatasetState.PROCESSING and dataset.version == version:
            self._start(tenant, dataset)
        return dataset

    def working(self, tenant: Tenant, id: str, attempt: int) -> Dataset:
        """The dataset, while this attempt is the one that works. Conflict for one that is over."""
        dataset = self.get(tenant, id)
        if not self._works(dataset, attempt):
            raise Conflict(f"Attempt {attempt} of dataset {id} is over: it is {dataset.state}.")
        return dataset

    @staticmethod
    def _works(dataset: Dataset, attempt: int) -> bool:
        return dataset.state is DatasetState.PROCESSING and dataset.attempt == attempt

    def note(
        self, tenant: Tenant, dataset: Dataset, values: Mapping[str, int] | None = None, add: Mapping[str, int] = {}
    ) -> None:
        """Progress, for people to look at: what is done twice counts twice. Conflict for an attempt that is over."""
        expect = {"state": str(DatasetState.PROCESSING), "attempt": dataset.attempt, "deleting": False}
        pk = tenant.pk(Kind.DATASET, dataset.id)
        self.table.update(Write("update", pk, "body", values or {}, add=add, expect=expect), op=fresh_id("note-"))

    def conclude(
        self,
        tenant: Tenant,
        id: str,
        attempt: int,
        state: DatasetState,
        values: Mapping[str, Any],
        rejected: Iterable[Mapping[str, str]] = (),
    ) -> Dataset:
        """The end of an attempt; a second one changes nothing. `rejected`: for the report of the drop it came from."""
        standing = self.find(tenant, id)
        dropped = standing is not None and standing.drop_id and standing.first_attempt == 1  # later ones were sent
        if standing is not None and dropped and self._works(standing, attempt):
            store = Store(self.uploads.s3, self.uploads.bucket)
            report_drop(self.table, store, tenant, standing, state, values, rejected, self.events)
        update = Write(
            "update",
            tenant.pk(Kind.DATASET, id),
            "body",
            {"state": str(state), "updated_at": stamp(), **values},
            expect={"state": may_become(state), "attempt": attempt, "deleting": False},
        )
        try:
            self.table.transact([update, self._inactive(id)], op=f"{state}-{id}-{attempt}")
        except Conflict:
            dataset = self.find(tenant, id)
            if dataset is None or dataset.state is DatasetState.PROCESSING:
                raise
            return dataset
        return self.get(tenant, id)

    # --- the end ------------------------------------------------------------------------------------------------------
    def delete(self, tenant: Tenant, id: str) -> None:
        """Invisible at once; gone with every object and version when this returns, or by the sweeper."""
        self.get(tenant, id)
        self._mark(tenant, id)
        self._update(tenant, id, {"deleting": True}, {"deleting": False}, "delete-")
        try:
            self._remove(tenant, id)
        except MillraceError:
            return

    def _remove(self, tenant: Tenant, id: str) -> None:
        dataset = self.find(tenant, id)
        if dataset is None:
            return
        if dataset.attempt:
            self._stop(dataset)
        self._purge(tenant, id)
        active = self._inactive(id)
        if dataset.attempt and dataset.state is not DatasetState.READY:
            active = Write("put", active.pk, active.sk, {**_marked(tenant, id), "gone_at": stamp()})
        self.table.transact([Write("delete", tenant.pk(Kind.DATASET, id), "body"), active], op=fresh_id("gone-"))

    def _purge(self, tenant: Tenant, id: str) -> None:
        self.uploads.abort_all(archive_key(tenant, id))
        purge(self.uploads.s3, self.uploads.bucket, folder(tenant, id) + "/")

    def _sweep_gone(self, tenant: Tenant, id: str, now: str) -> Deed:
        """Functions of an execution that was stopped run on, and may put what nobody would find again."""
        active = self.table.get(system_pk(Kind.ACTIVE_DATASET), id) or {}
        if "gone_at" in active:
            if datetime.fromisoformat(now) - datetime.fromisoformat(active["gone_at"]) < LOST:
                return "left"
            self._purge(tenant, id)
        self._unmark(id)
        return "cleared"

    # --- sweeping -----------------------------------------------------------------------------------------------------
    def active(self) -> list[Item]:
        """Every dataset of every tenant at which something is under way: dataset_id, tenant, tier."""
        return self.table.query(system_pk(Kind.ACTIVE_DATASET))

    def sweep_one(self, tenant: Tenant, id: str, now: str) -> Deed:
        """Give a dataset what it lacks: the intake of an archive that is there, a new attempt, its end."""
        dataset = self.find(tenant, id)
        if dataset is None:
            return self._sweep_gone(tenant, id, now)
        if dataset.deleting:
            self._remove(tenant, id)
            return "deleted"
        if dataset.state in OPEN:
            return self._sweep_open(tenant, dataset, now)
        if dataset.state is DatasetState.READY:
            self._unmark(id)
            return "cleared"
        return self._sweep_processing(tenant, dataset)

    def _sweep_open(self, tenant: Tenant, dataset: Dataset, now: str) -> Deed:
        """Only an upload that S3 no longer knows, or a put, may have left an archive that nobody was told of."""
        key, upload = archive_key(tenant, dataset.id), dataset.upload
        if upload is not None and self.uploads.stands(key, upload):
            if not self.uploads.forgotten(upload, now):
                return "left"
            self.abort_upload(tenant, dataset.id)
            return "aborted"
        there = self.uploads.look(key)
        if there is not None and there[0] != dataset.version:
            self.begin(tenant, dataset.id, *there)
            return "begun"
        if upload is not None:
            self._update(tenant, dataset.id, {"upload": None}, {"upload": dict(upload)}, "sweep-")
        recently = datetime.fromisoformat(now) - LOST
        if datetime.fromisoformat(dataset.updated_at) > recently:
            return "left"  # somebody may just be beginning
        self.uploads.abort_all(key, recently)
        self._unmark(dataset.id)
        return "cleared"

    def _sweep_processing(self, tenant: Tenant, dataset: Dataset) -> Deed:
        status = self._status(dataset)
        if status == "RUNNING":
            return "left"
        if status is None:
            self._start(tenant, dataset)
            return "begun"
        if dataset.attempt - dataset.first_attempt + 1 >= MAX_ATTEMPTS:
            reason = {
                "code": "given-up",
                "text": f"The intake ended as {status} {MAX_ATTEMPTS} times without a result.",
            }
            self.conclude(tenant, dataset.id, dataset.attempt, DatasetState.ERROR, {"reasons": [reason]})
            return "failed"
        expect = {"state": str(DatasetState.PROCESSING), "attempt": dataset.attempt, "deleting": False}
        values = {"attempt": dataset.attempt + 1}
        again = self._update(tenant, dataset.id, values, expect, "again-")
        self._start(tenant, again)
        return "restarted"

    # --- what they share ----------------------------------------------------------------------------------------------
    def _open(self, tenant: Tenant, id: str) -> Dataset:
        dataset = self.get(tenant, id)
        if dataset.state not in OPEN:
            raise Conflict(f"Dataset {id} is {dataset.state}; an archive can be sent to a draft or after an error.")
        return dataset

    def _update(
        self, tenant: Tenant, id: str, values: Mapping[str, Any], expect: Mapping[str, Any], op: str
    ) -> Dataset:
        write = Write("update", tenant.pk(Kind.DATASET, id), "body", {**values, "updated_at": stamp()}, expect=expect)
        try:
            return Dataset.from_item(self.table.update(write, op=fresh_id(op)))
        except Conflict:
            self.get(tenant, id)  # NotFound tells more than a failed condition
            raise

    def _mark(self, tenant: Tenant, id: str) -> None:
        self.table.put({"pk": system_pk(Kind.ACTIVE_DATASET), "sk": id, **_marked(tenant, id)})

    def _unmark(self, id: str) -> None:
        self.table.transact([self._inactive(id)], op=fresh_id("settle-"))

    @staticmethod
    def _inactive(id: str) -> Write:
        return Write("delete", system_pk(Kind.ACTIVE_DATASET), id)

    def _start(self, tenant: Tenant, dataset: Dataset) -> None:
        try:
            with aws.mapped("Starting the intake"):
                self._start_execution(tenant, dataset)
        except Unavailable:
            return  # the dataset stands, and the sweeper starts it

    def _start_execution(self, tenant: Tenant, dataset: Dataset) -> None:
        given = {"tenant": tenant.id, "dataset_id": dataset.id, "attempt": dataset.attempt}
        try:
            self.stepfunctions.start_execution(
                stateMachineArn=self.machine,
                name=f"{dataset.id}-{dataset.attempt}",
                input=orjson.dumps(given).decode(),
            )
        except self.stepfunctions.exceptions.ExecutionAlreadyExists:
            return

    def _execution(self, dataset: Dataset) -> str:
        return self.machine.replace(":stateMachine:", ":execution:") + f":{dataset.id}-{dataset.attempt}"

    def _status(self, dataset: Dataset) -> str | None:
        try:
            with aws.mapped("Asking for the execution"):
                return str(self.stepfunctions.describe_execution(executionArn=self._execution(dataset))["status"])
        except NotFound:
            return None

    def _stop(self, dataset: Dataset) -> None:
        aws.stop("Stopping the intake", self.stepfunctions.stop_execution, executionArn=self._execution(dataset))


def _marked(tenant: Tenant, id: str) -> Item:
    return {"dataset_id": id, "tenant": tenant.id, "tier": str(tenant.tier), "created_at": stamp()}
