"""The life of datasets: legal moves, events told twice, what a sweep finds after a crash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import orjson
import pytest
from millrace.clock import stamp
from millrace.contract import DatasetState
from millrace.datasets import dataset as domain
from millrace.datasets.dataset import Dataset
from millrace.datasets.dropped import DroppedImages
from millrace.errors import Conflict, InvalidInput, NotFound
from millrace.intake import Dropped
from millrace.tenants import Kind

from tests.fakes import client_error
from tests.millrace.datasets.archives import picture, zipped
from tests.millrace.datasets.conftest import Yard

BODY = zipped({"a/1.png": picture(), "b/1.png": picture(2)})


def later(**time: float) -> str:
    return stamp(datetime.now(UTC) + timedelta(**time))


def test_only_legal_moves_are_made(yard: Yard) -> None:
    for before, after in product(DatasetState, DatasetState):
        assert (str(before) in domain.may_become(after)) == (after in domain.LEGAL[before])
    draft = yard.draft()

    late = yard.datasets.conclude(yard.tenant, draft.id, 0, DatasetState.READY, {})
    assert late.state is DatasetState.DRAFT
    ready = yard.send(BODY)
    with pytest.raises(Conflict, match="is ready"):
        yard.datasets.put(yard.tenant, ready.id, BODY)


def test_an_event_told_again_and_again_begins_one_intake(yard: Yard) -> None:
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, BODY)

    for _ in range(5):
        yard.datasets.begin(yard.tenant, dataset.id, str(dataset.version), len(BODY))

    assert yard.states.started == [f"{dataset.id}-1"]


def test_an_older_event_does_not_begin_a_finished_dataset_again(yard: Yard) -> None:
    ready = yard.send(BODY)

    again = yard.datasets.begin(yard.tenant, ready.id, "another-version", 5)

    assert again.state is DatasetState.READY and again.version == ready.version


def test_an_archive_that_nobody_was_told_of_is_found(yard: Yard) -> None:
    draft = yard.draft()
    yard.datasets._mark(yard.tenant, draft.id)
    yard.datasets.uploads.put(domain.archive_key(yard.tenant, draft.id), BODY)

    deed = yard.datasets.sweep_one(yard.tenant, draft.id, stamp())

    assert deed == "begun" and yard.states.started == [f"{draft.id}-1"]


def test_a_forgotten_upload_is_aborted_and_a_fresh_one_left(yard: Yard) -> None:
    draft = yard.draft()
    yard.datasets.begin_upload(yard.tenant, draft.id, 100, None)

    assert yard.datasets.sweep_one(yard.tenant, draft.id, later(days=1)) == "left"
    assert yard.datasets.sweep_one(yard.tenant, draft.id, later(days=3)) == "aborted"
    assert yard.datasets.active() == [] and yard.datasets.get(yard.tenant, draft.id).upload is None


def test_an_upload_that_no_dataset_knows_of_is_aborted(yard: Yard) -> None:
    """Killed between S3's answer and our note of it."""
    draft = yard.draft()
    yard.datasets._mark(yard.tenant, draft.id)
    yard.datasets.uploads.begin(domain.archive_key(yard.tenant, draft.id), 100, None)

    assert yard.datasets.sweep_one(yard.tenant, draft.id, stamp()) == "left"
    assert yard.datasets.sweep_one(yard.tenant, draft.id, later(hours=24 * 365 * 20)) == "cleared"
    assert "Uploads" not in yard.intake.store.client.list_multipart_uploads(Bucket=yard.intake.store.bucket)


def test_a_lost_execution_is_started_again_and_given_up_after_three(yard: Yard) -> None:
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, BODY)
    deeds = [yard.datasets.sweep_one(yard.tenant, dataset.id, stamp())]
    for attempt in (1, 2, 3):
        _end(yard, f"{dataset.id}-{attempt}")
        deeds.append(yard.datasets.sweep_one(yard.tenant, dataset.id, stamp()))

    assert deeds == ["left", "restarted", "restarted", "failed"]
    assert yard.datasets.get(yard.tenant, dataset.id).reasons[0]["code"] == "given-up"
    assert yard.datasets.active() == []


def _end(yard: Yard, name: str) -> None:
    arn = next(arn for arn in yard.states.executions if arn.endswith(name))
    yard.states.executions[arn]["status"] = "FAILED"


def test_a_deletion_that_stopped_half_way_is_finished(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = yard.send(BODY)
    monkeypatch.setattr("millrace.datasets.repository.purge", _crash)
    with pytest.raises(KeyboardInterrupt):
        yard.datasets.delete(yard.tenant, ready.id)
    monkeypatch.undo()
    with pytest.raises(NotFound):
        yard.datasets.get(yard.tenant, ready.id)

    assert yard.datasets.sweep_one(yard.tenant, ready.id, stamp()) == "deleted"
    assert yard.keys() == [] and yard.datasets.active() == []


def test_what_a_stopped_intake_still_writes_is_removed_when_no_function_can_be_left(yard: Yard) -> None:
    """D4: the functions of an execution that was stopped run on for minutes."""
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, BODY)
    yard.datasets.delete(yard.tenant, dataset.id)
    assert yard.keys() == [] and yard.datasets.find(yard.tenant, dataset.id) is None
    yard.intake.store.put(domain.folder(yard.tenant, dataset.id, "work", "00000.seen.json"), b"{}")

    assert yard.datasets.sweep_one(yard.tenant, dataset.id, later(minutes=14)) == "left"
    assert [item["tenant"] for item in yard.datasets.active()] == ["acme"]
    assert yard.datasets.sweep_one(yard.tenant, dataset.id, later(minutes=16)) == "cleared"
    assert yard.keys() == [] and yard.datasets.active() == []


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_deletion_whose_intake_may_not_be_stopped_is_ended_by_the_sweeper(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: a refusal is no stop; nothing is taken from under an intake that works on."""
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, zipped({"a/1.png": picture()}))
    with monkeypatch.context() as patched:
        patched.setattr(yard.states, "stop_execution", refused)
        yard.datasets.delete(yard.tenant, dataset.id)

    with pytest.raises(NotFound):
        yard.datasets.get(yard.tenant, dataset.id)
    assert yard.keys() and yard.datasets.sweep_one(yard.tenant, dataset.id, stamp()) == "deleted"
    assert not yard.keys() and yard.datasets.find(yard.tenant, dataset.id) is None


def refused(**_: Any) -> None:
    raise client_error("AccessDeniedException")


def test_a_dropped_archive_is_adopted_once(yard: Yard) -> None:
    store = yard.intake.store
    store.put("elsewhere/photos.zip", BODY)
    source = {"Bucket": store.bucket, "Key": "elsewhere/photos.zip"}

    made = [yard.datasets.adopt(yard.tenant, "ds-1", "photos", "zoo", source, len(BODY)) for _ in range(2)]

    assert [each.state for each in made] == [DatasetState.PROCESSING] * 2 and len(yard.states.started) == 1
    assert yard.run(made[1]).total_samples == 2


def test_with_every_part_that_is_copied_the_copying_is_known_to_live(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1: its event stays hidden, so that no second worker copies the same gigabytes."""
    monkeypatch.setattr("millrace.datasets.uploads.COPY_BYTES", 5 * 2**20)
    store, size, calls = yard.intake.store, 17 * 2**20, list[None]()
    store.put("elsewhere/photos.zip", bytes(size))
    source = {"Bucket": store.bucket, "Key": "elsewhere/photos.zip"}

    yard.datasets.adopt(yard.tenant, "ds-1", "photos", "zoo", source, size, alive=lambda: calls.append(None))

    assert len(calls) == 4


def dropped(yard: Yard, body: bytes) -> tuple[Dropped, Dataset, int]:
    """The drop, the dataset that it became, and how often the worker said that it lives."""
    client, calls = yard.intake.store.client, list[None]()
    key = f"{yard.tenant.drop_prefix}zoo/animals.zip"
    version = client.put_object(Bucket=yard.intake.store.bucket, Key=key, Body=body)["VersionId"]
    drop = Dropped(yard.intake.store.bucket, key, version)
    images = DroppedImages(yard.datasets.table, yard.datasets)
    dataset = images.take(yard.tenant, drop, lambda: calls.append(None))
    assert dataset is not None
    return drop, dataset, len(calls)


def test_a_dropped_archive_of_images_has_a_report_like_any_drop(yard: Yard) -> None:
    """C2: accepted and rejected, each with its reason, once the dataset is ready."""
    drop, dataset, calls = dropped(yard, zipped({"a/1.png": picture(), "b/1.png": picture(2), "b/2.png": b"words"}))
    yard.run(dataset)

    item = yard.datasets.table.get(yard.tenant.pk(Kind.DROP, drop.id), "body") or {}
    assert calls == 3, "the end, the directory and the copy"
    assert (item["state"], item["accepted"], item["rejected"]) == ("collected", 2, 1)
    report = yard.intake.store.get_json(item["report"])
    assert item["report"] == f"tenants/acme/reports/{drop.id}.json"
    assert (report["drop_id"], report["accepted"], report["rejected"]) == (drop.id, 2, 1)
    (reason,) = report["reasons"]
    assert reason["file"] == "b/2.png" and "no image" in reason["reason"]
    (event,) = yard.bus.told
    told = orjson.loads(event["Detail"])
    assert (event["DetailType"], told["id"]) == ("millrace.drop.collected", drop.id)
    assert told["data"] == {
        "id": drop.id,
        "key": drop.key,
        "state": "collected",
        "accepted": 2,
        "duplicate": 0,
        "rejected": 1,
        "report": item["report"],
    }


def test_a_dropped_archive_that_ends_in_an_error_is_a_refused_drop_with_the_reason(yard: Yard) -> None:
    drop, dataset, _ = dropped(yard, zipped({"a/1.png": b"words"}))
    yard.run(dataset)

    item = yard.datasets.table.get(yard.tenant.pk(Kind.DROP, drop.id), "body") or {}
    report = yard.intake.store.get_json(item["report"])
    assert (item["state"], report["state"], report["accepted"], report["rejected"]) == ("refused", "refused", 0, 1)
    assert report["reasons"][0]["file"] == "a/1.png"
    assert DroppedImages(yard.datasets.table, yard.datasets).take(yard.tenant, drop) is not None, "the event again"
    again = yard.datasets.put(yard.tenant, dataset.id, zipped({"a/1.png": picture(), "b/1.png": picture(2)}))
    assert yard.run(again).state is DatasetState.READY
    assert yard.datasets.table.get(yard.tenant.pk(Kind.DROP, drop.id), "body") == item, "what was sent was no drop"
    assert len(yard.bus.told) == 1


def test_a_dropped_archive_without_classes_says_so_in_its_report(yard: Yard) -> None:
    drop, dataset, _ = dropped(yard, zipped({"1.png": picture()}))
    yard.run(dataset)

    report = yard.intake.store.get_json(f"tenants/acme/reports/{drop.id}.json")
    assert report["state"] == "refused" and "No classes" in report["reasons"][0]["reason"]


@pytest.mark.parametrize(("size", "parts"), [(1, 1), (8 * 2**20 + 1, 2), (16 * 2**30, 1024 * 2), (100 * 2**30, 1600)])
def test_parts_are_few_and_together_the_whole(size: int, parts: int) -> None:
    each = domain.part_bytes(size)

    count = -(-size // each)
    assert sum(domain.part_length(n, size, each) for n in range(1, count + 1)) == size
    assert count <= 2_000 and (count == parts or size == 16 * 2**30)


@pytest.mark.parametrize("size", [0, -1, 100 * 2**30 + 1])
def test_no_archive_is_empty_or_over_the_limit(size: int) -> None:
    with pytest.raises(InvalidInput):
        domain.part_bytes(size)
