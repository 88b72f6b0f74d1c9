from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
import pytest
from millrace import training
from millrace.clock import stamp
from millrace.contract import JobState, ModelState, Tier
from millrace.datapoints import DataPoint, Origin, content_id
from millrace.datapolicy import DataPolicy, set_data_policy
from millrace.errors import Conflict, InvalidInput, TooLarge, Unavailable
from millrace.jobs import Job
from millrace.strategies import MIN_TRAIN_PAIRS, find
from millrace.tenants import Tenant
from millrace.training import DATASET_FILE, Training, channel_key
from millrace.training_budget import MONTHLY_USD

from tests.fakes import FAULTS, Crash, Fault, Plan, World
from tests.millrace.test_recovery import _pipeline

ACME = Tenant("acme", Tier.ENTERPRISE)


def _collected(world: World, start: int, stop: int) -> None:
    """Usable pairs, stored and counted as a drop does it."""
    for n in range(start, stop):
        source, target = f"Moreover text {n}", f"Text {n}"
        world.corpus.add(ACME, DataPoint(content_id(source, target), Origin.DROP, source, target, "1", f"dr#{n}"))
    world.table.transact([world.corpus.counting(ACME, stop - start)], op=f"count-{start}-{stop}")


def test_a_training_begins_once_however_many_ask_at_once() -> None:
    world = World()
    _collected(world, 0, 80)

    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda _: world.training.begin_if_due(ACME, 60), range(16)))

    (job,) = [job for job in begun if job]
    assert world.states.started == [f"{job.id}-1"] and len(world.jobs.page(ACME, 100, None)[0]) == 1
    assert world.corpus.counts(ACME).fresh == 0
    assert world.training.begin_if_due(ACME, 60) is None


def test_new_pairs_begin_the_next_training_and_no_pair_is_lost_between() -> None:
    world = World()
    _collected(world, 0, 80)
    first = world.training.begin_if_due(ACME, 60)
    _collected(world, 80, 130)
    assert world.training.begin_if_due(ACME, 60) is None
    _collected(world, 130, 140)
    second = world.training.begin_if_due(ACME, 60)

    assert first and second and first.id != second.id
    assert sum(world.corpus.load_snapshot(ACME, second.snapshot_id).rows.values()) == 140


@pytest.mark.parametrize("threshold", [0, -1, 81])
def test_below_the_threshold_or_without_one_nothing_begins(threshold: int) -> None:
    world = World()
    _collected(world, 0, 80)
    assert world.training.begin_if_due(ACME, threshold) is None and not world.states.started


def test_too_few_pairs_begin_nothing_and_are_told_to_a_person() -> None:
    world = World()
    _collected(world, 0, 20)

    assert world.training.begin_if_due(ACME, 10) is None
    with pytest.raises(InvalidInput, match=f"at least {MIN_TRAIN_PAIRS} usable pairs .* Drop more pairs"):
        world.training.begin(ACME, "j1")
    assert world.corpus.counts(ACME).fresh == 20, "what was not trained on stays new"


def test_a_person_begins_a_training_and_a_repeat_finds_it() -> None:
    world = World()
    _collected(world, 0, 80)

    first = world.training.begin(ACME, "j1", hyperparameters={"rank": 4})
    _collected(world, 80, 90)
    again = world.training.begin(ACME, "j1")

    assert (first.state, first.started_by, first.hyperparameters["rank"]) == (JobState.QUEUED, "person", 4)
    assert again.id == "j1" and again.snapshot_id == first.snapshot_id and world.states.started == ["j1-1"]


def test_two_persons_at_once_get_a_job_each_or_a_conflict_in_words() -> None:
    world = World()
    _collected(world, 0, 80)

    def begin(number: int) -> str:
        try:
            return world.training.begin(ACME, f"j{number}").id
        except Conflict as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        told = set(pool.map(begin, range(4)))

    jobs = {job.id for job in world.jobs.page(ACME, 100, None)[0]}
    assert jobs and told - jobs <= {"Another training claimed these pairs at the same moment; ask again."}


def test_a_start_that_step_functions_refuses_for_now_is_left_to_the_sweeper() -> None:
    world, probe, plan = World(), World(), Plan()
    _collected(world, 0, 80)
    _collected(probe, 0, 80)
    probe.through(plan).training.begin(ACME, "j1")
    number = plan.seen.index("start_execution") + 1

    job = world.through(Plan({number: "throttle"})).training.begin(ACME, "j1")

    assert job.state is JobState.PENDING and not world.states.started
    assert world.jobs.sweep_one(ACME, "j1") == "started" and world.states.started == ["j1-1"]


CALLS = 20


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_whatever_call_fails_a_due_training_begins_once(number: int, fault: Fault) -> None:
    world = World()
    _collected(world, 0, 80)
    began: list[Job | None] = []
    try:
        began.append(world.through(Plan({number: fault})).training.begin_if_due(ACME, 60))
    except (Crash, Unavailable):
        began.append(world.training.begin_if_due(ACME, 60))

    for item in world.jobs.active():
        world.jobs.sweep_one(ACME, item["job_id"])
    world.admission.admit()

    assert len(world.states.started) == 1 == len(world.jobs.active())
    assert world.corpus.counts(ACME).fresh == 0


def _many(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """More pairs than are read while a request waits; and the pipeline that takes them afterwards."""
    monkeypatch.setattr(training, "AT_ONCE", 50)
    _collected(world, 0, 80)
    return _pipeline(world)


def test_pairs_that_are_too_many_for_a_request_are_the_first_step_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    pipeline = _many(world, monkeypatch)

    job = world.training.begin(ACME, "j1")
    late = DataPoint("dplate", Origin.DROP, "Late text", "Text", "9", "dr#late")
    world.corpus.add(ACME, late)
    assert job.snapshot_id is None and job.state is JobState.QUEUED and world.corpus.counts(ACME).fresh == 0
    planned = [pipeline.plan(ACME, "j1", 1) for _ in range(2)]

    assert planned[0] == planned[1], "a step may run twice"
    snapshot = world.corpus.load_snapshot(ACME, world.jobs.get(ACME, "j1").snapshot_id or "")
    assert sum(snapshot.rows.values()) == 80 and not world.corpus.snapshots.holds(ACME, snapshot.id, late.id)
    assert world.corpus.snapshots.jobs(ACME, snapshot.id) == ["j1"]
    model = world.registry.get(ACME, planned[0]["model"]["id"])
    assert model.lineage["snapshot_id"] == snapshot.id
    assert planned[0]["train"]["channels"][0]["DataSource"]["S3DataSource"]["S3Uri"].endswith(snapshot.keys["train"])


def test_policy_begins_one_job_on_many_pairs_and_none_twice_on_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    pipeline = _many(world, monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        (job,) = {job.id: job for _ in range(8) if (job := pool.submit(_due, world).result())}.values()
    pipeline.plan(ACME, job.id, 1)
    world.table.transact([world.corpus.counting(ACME, 70)], op="counted, and then deleted")
    second = _due(world)

    assert second and second.id != job.id
    with pytest.raises(InvalidInput, match=f"job {job.id} trained on these very pairs"):
        pipeline.plan(ACME, second.id, 1)


def test_more_pairs_than_are_ever_read_begin_nothing_and_stay_new(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    _many(world, monkeypatch)
    monkeypatch.setattr(training, "MAX_POINTS", 60)

    for ask in (lambda: world.training.begin(ACME, "j1"), lambda: _due(world), lambda: world.training.forecast(ACME)):
        with pytest.raises(TooLarge, match="more than 60 data points"):
            ask()
    assert world.corpus.counts(ACME).fresh == 80 and not world.jobs.active()


def test_while_there_is_no_money_no_pair_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world, read = World(), Plan()
    _collected(world, 0, 80)
    monkeypatch.setitem(MONTHLY_USD, ACME.tier, 0.0)

    seen = world.through(read)
    assert Training(seen.corpus, seen.jobs).begin_if_due(ACME, 60) is None
    assert "query" not in read.seen and "put_object" not in read.seen and not world.s3.objects


def test_too_few_of_many_pairs_fail_the_job_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    pipeline = _many(world, monkeypatch)
    set_data_policy(world.table, ACME, DataPolicy(min_quality=1.0))
    world.training.begin(ACME, "j1")

    with pytest.raises(InvalidInput, match=r"at least 40 usable pairs .* Drop more pairs\.") as raised:
        pipeline.plan(ACME, "j1", 1)
    caught = {"Error": "InvalidInput", "Cause": orjson.dumps({"errorMessage": str(raised.value)}).decode()}
    ended = pipeline.conclude(ACME, "j1", 1, "failed", caught)

    assert ended.state is JobState.FAILED and ended.error == str(raised.value)


def test_what_many_pairs_would_cost_is_told_without_reading_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    _many(world, monkeypatch)
    read = Plan()

    told = world.through(read).training.forecast(ACME)

    assert told["at_most_usd"] >= 0 and "batch_get_item" not in read.seen
    monkeypatch.setattr(training, "AT_ONCE", 100)
    assert told.keys() == world.training.forecast(ACME).keys()


def _due(world: World) -> Job | None:
    return world.training.begin_if_due(ACME, 60)


def test_the_base_that_was_asked_for_goes_to_every_container_and_into_the_lineage() -> None:
    """J2: and stays the same for a later attempt, whatever the stage's own is by then."""
    world = World()
    _collected(world, 0, 80)
    world.store.put_json("base/microsoft/phi-2/config.json", {})
    pipeline = _pipeline(world)
    world.training.begin(ACME, "j1", base_model="microsoft/phi-2")
    world.training.begin(ACME, "j2")

    asked, own = pipeline.plan(ACME, "j1", 1), pipeline.plan(ACME, "j2", 1)

    for stage in ("train", "evaluate", "gguf"):
        (uri,) = [
            c["DataSource"]["S3DataSource"]["S3Uri"] for c in asked[stage]["channels"] if c["ChannelName"] == "base"
        ]
        assert uri == "s3://data/base/microsoft/phi-2/"
    assert world.registry.get(ACME, asked["model"]["id"]).lineage["base"] == "microsoft/phi-2"
    assert world.jobs.get(ACME, "j2").base_model == pipeline.settings.base_model
    assert own["train"]["channels"][-1]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://data/base/millrace-tiny/"


def test_a_dataset_that_a_training_reads_is_not_free_to_go() -> None:
    world = World()
    world.store.put_json(channel_key(ACME, "d1") + DATASET_FILE, {"classes": ["a", "b"], "samples": 90})
    world.training.begin(ACME, "j1", strategy="cnn-native", dataset_id="d1")

    with pytest.raises(Conflict, match="Training job j1 trains on this dataset; cancel it or wait for its end"):
        world.training.check_unused(ACME, "d1")
    world.training.check_unused(ACME, "d2")
    world.training.check_unused(Tenant("other"), "d1")
    world.training.cancel(ACME, "j1")
    world.training.check_unused(ACME, "d1")


def test_every_round_of_a_search_has_the_machine_and_the_disk_that_it_needs() -> None:
    """J4, J5, J8: the machine and spot that were asked for, and room for the dataset; as the forecast counts them."""
    world = World()
    told = {"classes": ["a", "b"], "samples": 90, "archive_size": 100 * 2**30}
    world.store.put_json(channel_key(ACME, "d1") + DATASET_FILE, told)
    pipeline, asked = _pipeline(world), {"instance_type": "ml.c7i.4xlarge", "spot": True, "dataset_id": "d1"}
    paid = replace(world.training, instance_type="")
    pipeline = replace(pipeline, settings=replace(pipeline.settings, instance_type=""))

    job = paid.begin(ACME, "j1", strategy="cnn-search", **asked)
    finish = pipeline.plan(ACME, "j1", 1)["train"]
    rounds = [vars(pipeline.trials(ACME, job, number, "proposals/")) for number in range(2)]

    for stage in (*rounds, finish):
        assert (stage["instance_type"], stage["spot"], stage["volume_gb"]) == ("ml.c7i.4xlarge", True, 150)
    assert {part["instance_type"] for part in job.forecast["parts"]} == {"ml.c7i.4xlarge"}
    world.store.put_json(channel_key(ACME, "d1") + DATASET_FILE, told | {"archive_size": 2**20})
    assert pipeline.plan(ACME, "j1", 1)["train"]["volume_gb"] == find("cnn-search").resources["volume_gb"]


def test_a_backbone_whose_training_came_to_no_end_is_refused_before_a_job_is_made() -> None:
    world = World()
    world.store.put_json(channel_key(ACME, "d1") + DATASET_FILE, {"classes": ["a", "b"], "samples": 90})
    job = Job("j1", JobState.RUNNING, "cnn-search", 1, "net", stamp(), "person", dataset_id="d1")
    world.jobs.create(ACME, job)
    model = world.registry.plan_version(ACME, job, {})
    wanted = {"strategy": "cnn-transfer", "dataset_id": "d1", "hyperparameters": {"backbone": model.id}}

    with pytest.raises(InvalidInput, match=r"^net@1 is no backbone: its training has not come to its end\.$"):
        world.training.begin(ACME, "j2", **wanted)
    world.registry.move(ACME, model.id, ModelState.READY, {"lineage": {**model.lineage, "attempt": 1}})

    assert world.training.begin(ACME, "j2", **wanted).id == "j2"
