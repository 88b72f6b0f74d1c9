"""Killed at any call to AWS, an intake and a deletion end as if nothing had happened, and leave nothing behind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import orjson
from millrace.artifacts import Store
from millrace.clock import now, stamp
from millrace.contract import DatasetState
from millrace.datasets.dataset import Dataset
from millrace.datasets.intake import Intake
from millrace.datasets.repository import Datasets
from millrace.datasets.uploads import Uploads
from millrace.errors import MillraceError

from tests.fakes import LONG, Crash, Fault, Faulty, Plan
from tests.millrace.datasets.archives import picture, zipped
from tests.millrace.datasets.conftest import Yard

ARCHIVE = zipped({f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(4)})
EVERY = 1 if LONG else 7


def through(yard: Yard, plan: Plan) -> Yard:
    """The same tenant's datasets, seen by a worker whose calls go wrong as planned."""
    s3, table = Faulty(yard.intake.store.client, plan), yard.datasets.table
    uploads = Uploads(s3, s3, yard.intake.store.bucket)  # type: ignore[arg-type]
    faulty = replace(table, client=Faulty(table.client, plan), pause=lambda _: None)  # type: ignore[arg-type]
    datasets = Datasets(faulty, uploads, yard.datasets.machine, Faulty(yard.states, plan))  # type: ignore[arg-type]
    return Yard(datasets, Intake(datasets, Store(s3, yard.intake.store.bucket)), yard.states)  # type: ignore[arg-type]


def whole_life(yard: Yard, draft: Dataset) -> None:
    yard.run(yard.datasets.put(yard.tenant, draft.id, ARCHIVE))


def calls(yard: Yard) -> int:
    plan = Plan()
    whole_life(through(yard, plan), yard.draft())
    return len(plan.seen)


def recovered(yard: Yard, id: str) -> Dataset:
    """What the sweeper, and the executions that it starts, make of what was left."""
    for _ in range(6):
        for execution in yard.states.executions.values():
            execution["status"] = "FAILED"  # its worker is gone
        active = [item for item in yard.datasets.active() if item["dataset_id"] == id]
        if not active:
            break
        yard.datasets.sweep_one(yard.tenant, id, stamp())
        dataset = yard.datasets.get(yard.tenant, id)
        if dataset.state is DatasetState.PROCESSING:
            yard.run(dataset)
    return yard.datasets.get(yard.tenant, id)


def test_an_intake_that_is_killed_anywhere_ends_ready_with_the_same_images(yard: Yard) -> None:
    faults: tuple[Fault, ...] = ("crash", "lost", "error")
    for number in range(1, calls(yard) + 1, EVERY):
        draft = yard.draft()
        hurt = through(yard, Plan({number: faults[number % len(faults)]}))
        with suppress(Crash, MillraceError):
            whole_life(hurt, draft)

        dataset = recovered(yard, draft.id)

        if dataset.state is DatasetState.DRAFT:
            assert dataset.version is None and number < 5, "killed before the archive was there"
            continue
        assert (dataset.state, dataset.total_samples) == (DatasetState.READY, 8), number
        folder = f"/datasets/{draft.id}/"
        channel = orjson.loads(yard.intake.store.get(f"tenants/acme{folder}channel/dataset.json"))
        assert channel["samples"] == 8 and channel["archive_version"] == dataset.version
    for item in yard.datasets.active():  # drafts at which somebody may just have been beginning, a day later
        yard.datasets.sweep_one(yard.tenant, item["dataset_id"], stamp(now() + timedelta(days=1)))
    assert yard.datasets.active() == []


def test_a_deletion_that_is_killed_anywhere_leaves_nothing(yard: Yard) -> None:
    plan = Plan()
    dataset = yard.send(ARCHIVE)
    through(yard, plan).datasets.delete(yard.tenant, dataset.id)
    for number in range(1, len(plan.seen) + 1, 1 if LONG else 2):
        dataset = yard.send(ARCHIVE)
        with suppress(Crash):
            through(yard, Plan({number: "crash"})).datasets.delete(yard.tenant, dataset.id)
        for item in yard.datasets.active():
            yard.datasets.sweep_one(yard.tenant, item["dataset_id"], stamp())
        if yard.datasets.find(yard.tenant, dataset.id) is not None:
            assert number <= 3, "killed before anybody could know of it"
            yard.datasets.delete(yard.tenant, dataset.id)
    assert yard.keys() == [] and yard.datasets.active() == []
