from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.contract import JobState, ModelState, Tier
from millrace.errors import Conflict, MillraceError, NotFound, Unavailable
from millrace.jobs import LEGAL, MAX_ATTEMPTS, STAGES, Job, job_name, may_become, of_job_name
from millrace.tenants import Tenant

from tests.fakes import FAULTS, PREFIX, Crash, Fault, Plan, World, client_error, examples

ACME = Tenant("acme", Tier.ENTERPRISE)
OPEN = [state for state in JobState if not state.final]


def _job(id: str = "j1", **values: Any) -> Job:
    given = {"strategy": "lora-sft", "attempt": 1, "snapshot_id": "sn1", "model_name": "humanizer"}
    given |= {"created_at": "2026-01-01T00:00:00.000Z", "started_by": "person", "state": JobState.PENDING}
    return Job(id=id, **{**given, **values})


def _begun(world: World, **values: Any) -> Job:
    job = _job(**values)
    assert world.jobs.create(ACME, job)
    assert world.admission.admit() == [job.id]
    return world.jobs.get(ACME, job.id)


def _containers(world: World, job_id: str = "j1", attempt: int = 1) -> None:
    world.sagemaker.running |= {job_name(PREFIX, job_id, attempt, stage) for stage in STAGES}


@given(st.lists(st.sampled_from(JobState), max_size=8))
def test_a_job_moves_only_as_the_table_of_moves_says(wanted: list[JobState]) -> None:
    world, state = World(), JobState.PENDING
    world.jobs.create(ACME, _job())

    for to in wanted:
        legal = to in LEGAL[state]
        try:
            moved = world.jobs.move(ACME, "j1", to, 1)
        except Conflict:
            assert not legal
        else:
            assert legal and moved.state is to
            state = to
        assert world.jobs.get(ACME, "j1").state is state


def test_an_end_is_an_end() -> None:
    assert all(not LEGAL[state] for state in JobState if state.final)
    assert all(may_become(state) for state in JobState if state is not JobState.PENDING)


def test_starting_again_starts_nothing_more() -> None:
    world = World()
    _begun(world)

    world.jobs.start(ACME, world.jobs.get(ACME, "j1"))

    assert world.states.started == ["j1-1"]
    assert world.jobs.get(ACME, "j1").state is JobState.QUEUED


def test_two_jobs_of_one_id_are_one() -> None:
    world = World()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: world.jobs.create(ACME, _job()), range(16)))

    assert made.count(True) == 1 and len(world.jobs.active()) == 1


def test_every_open_job_is_seen_however_many_there_are() -> None:
    world, count = World(), 1_100
    for number in range(count):
        assert world.jobs.create(ACME, _job(f"j{number}"))

    assert len(world.jobs.active()) == count


@given(st.text(max_size=70), st.booleans())
def test_only_names_of_this_stage_are_read_as_a_jobs_name(name: str, ours: bool) -> None:
    name = f"{PREFIX}-{name}" if ours else name
    told = of_job_name(PREFIX, name)
    assert told is None or job_name(PREFIX, *told) == name or f"-0{told[1]}-" in name


def test_another_stages_container_in_the_same_account_is_not_ours() -> None:
    assert of_job_name("millrace-dev", job_name("millrace-prod", "j1", 1, "train")) is None
    assert of_job_name("millrace-dev", job_name("millrace-dev", "j1", 1, "train")) == ("j1", 1, "train")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_name_is_read_back_and_is_one_that_sagemaker_takes(stage: str) -> None:
    name = job_name(PREFIX, "j" + "f" * 20, 3, stage)
    assert of_job_name(PREFIX, name) == ("j" + "f" * 20, 3, stage)
    assert len(name) <= 63


def test_late_figures_of_an_attempt_that_is_over_are_dropped() -> None:
    world = World()
    _begun(world)
    world.jobs.move(ACME, "j1", JobState.QUEUED, 1, {"attempt": 2, "progress": {}})

    world.jobs.note(ACME, "j1", 1, {"progress": {"step": 9}})
    world.jobs.note(ACME, "j1", 2, {"progress": {"step": 1, "loss": float("nan")}})

    assert world.jobs.get(ACME, "j1").progress == {"step": 1}


def test_cancelling_stops_the_work_fails_the_version_and_leaves_nothing_active() -> None:
    world = World()
    job = _begun(world)
    model = world.registry.plan_version(ACME, job, {})
    _containers(world)

    cancelled = world.jobs.cancel(ACME, "j1")

    assert (cancelled.state, cancelled.error) == (JobState.CANCELLED, "Cancelled by request.")
    assert world.registry.get(ACME, model.id).state is ModelState.CANCELLED
    assert world.registry.get(ACME, model.id).error == "Its training was cancelled by request."
    assert not world.sagemaker.running and not world.jobs.active()
    assert (
        world.states.describe_execution(executionArn=world.jobs.execution_arn(world.jobs.get(ACME, "j1")))["status"]
        == "ABORTED"
    )
    assert world.jobs.cancel(ACME, "j1").state is JobState.CANCELLED


def test_what_is_over_cannot_be_cancelled_and_says_so() -> None:
    world = World()
    _begun(world)
    world.jobs.move(ACME, "j1", JobState.COMPLETED, 1)

    with pytest.raises(Conflict, match=r"^Training job j1 is completed already\.$"):
        world.jobs.cancel(ACME, "j1")
    with pytest.raises(NotFound, match=r"^There is no training job j2\.$"):
        world.jobs.cancel(ACME, "j2")


def test_a_version_that_serves_goes_on_serving_when_its_job_is_cancelled_too_late() -> None:
    world = World()
    model = world.registry.plan_version(ACME, _begun(world), {})
    world.registry.move(ACME, model.id, ModelState.READY)
    world.registry.activate(ACME, model)

    world.jobs.cancel(ACME, "j1")

    assert world.registry.get(ACME, model.id).state is ModelState.ACTIVE


@pytest.mark.parametrize("round", range(5))
def test_when_a_cancel_races_the_conclusion_one_wins_and_both_are_told_the_truth(round: int) -> None:
    world = World()
    _begun(world)

    def cancel() -> str:
        try:
            return str(world.jobs.cancel(ACME, "j1").state)
        except Conflict as error:
            assert "is completed already" in str(error)
            return "refused"

    def conclude() -> str:
        try:
            return str(world.jobs.move(ACME, "j1", JobState.COMPLETED, 1).state)
        except Conflict:
            return "refused"

    with ThreadPoolExecutor(2) as pool:
        told = {pool.submit(cancel), pool.submit(conclude)}
    outcomes = {future.result() for future in told}

    assert outcomes in ({"cancelled", "refused"}, {"completed", "refused"})
    assert str(world.jobs.get(ACME, "j1").state) in outcomes
    assert not world.jobs.active()


def _calls(world: World, deed: Any) -> int:
    plan = Plan()
    deed(world.through(plan))
    return len(plan.seen)


def _cancel(world: World) -> None:
    world.jobs.cancel(ACME, "j1")


def _ready_to_cancel() -> World:
    world = World()
    world.registry.plan_version(ACME, _begun(world), {})
    _containers(world)
    return world


@pytest.mark.parametrize("number", range(1, _calls(_ready_to_cancel(), _cancel) + 1))
def test_a_cancel_that_dies_at_any_call_is_finished_by_the_sweeper(number: int) -> None:
    world = _ready_to_cancel()
    with pytest.raises(Crash):
        _cancel(world.through(Plan({number: "crash"})))

    for _ in range(3):
        for item in world.jobs.active():
            world.jobs.sweep_one(Tenant(item["tenant"]), item["job_id"])

    job = world.jobs.get(ACME, "j1")
    if job.state is JobState.CANCELLED:
        assert not world.sagemaker.running and not world.jobs.active()
        assert world.registry.get(ACME, str(job.model_id)).state is ModelState.CANCELLED
    else:  # it died before it had said so: the job goes on
        assert job.state is JobState.QUEUED and len(world.sagemaker.running) == len(STAGES)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", range(1, _calls(_ready_to_cancel(), _cancel) + 1))
def test_a_cancel_whose_calls_fail_is_right_when_it_is_repeated(number: int, fault: Fault) -> None:
    world = _ready_to_cancel()
    try:
        _cancel(world.through(Plan({number: fault})))
    except MillraceError as error:
        assert isinstance(error, Unavailable)

    world.jobs.cancel(ACME, "j1")

    assert not world.sagemaker.running and not world.jobs.active()
    assert world.jobs.get(ACME, "j1").state is JobState.CANCELLED


def _begin(world: World) -> None:
    if world.jobs.create(ACME, _job()):
        world.admission.admit()


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, _calls(World(), _begin) + 1))
def test_a_begin_that_fails_at_any_call_is_begun_once_by_the_sweeper_or_the_next_try(number: int, fault: Fault) -> None:
    world = World()
    try:
        _begin(world.through(Plan({number: fault})))
    except (Crash, Unavailable):
        _begin(world)

    _swept(world)

    assert world.states.started == ["j1-1"]
    assert [item["job_id"] for item in world.jobs.active()] == ["j1"]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED", "SUCCEEDED"])
def test_an_execution_that_ended_without_a_result_is_begun_again_a_counted_number_of_times(status: str) -> None:
    world, deeds = World(), []
    model = world.registry.plan_version(ACME, _begun(world), {})

    for attempt in range(1, MAX_ATTEMPTS + 1):
        _containers(world, attempt=attempt)
        assert world.jobs.sweep_one(ACME, "j1") == "left"
        world.states.end(f"j1-{attempt}", status)
        deeds.append(world.jobs.sweep_one(ACME, "j1"))
        assert not world.sagemaker.running

    assert deeds == ["restarted"] * (MAX_ATTEMPTS - 1) + ["failed"]
    job = world.jobs.get(ACME, "j1")
    assert job.state is JobState.FAILED and f"Given up after {MAX_ATTEMPTS} attempts" in str(job.error)
    assert world.registry.get(ACME, model.id).state is ModelState.FAILED
    assert not world.jobs.active() and len(world.states.started) == MAX_ATTEMPTS


def _swept(world: World) -> None:
    for item in world.jobs.active():
        world.jobs.sweep_one(ACME, item["job_id"])
    world.admission.admit()


def _died() -> World:
    world = World()
    world.registry.plan_version(ACME, _begun(world), {})
    _containers(world)
    world.states.end("j1-1", "FAILED")
    return world


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, _calls(_died(), _swept) + 1))
def test_a_sweep_that_fails_at_any_call_is_finished_by_the_next(number: int, fault: Fault) -> None:
    world = _died()
    try:
        _swept(world.through(Plan({number: fault})))
    except (Crash, Unavailable):
        pass

    _swept(world)
    _swept(world)

    assert world.jobs.get(ACME, "j1").attempt == 2
    assert world.states.started == ["j1-1", "j1-2"] and not world.sagemaker.running


def test_many_sweepers_at_once_begin_one_new_attempt() -> None:
    world = _died()

    def sweep(_: int) -> None:
        try:
            world.jobs.sweep_one(ACME, "j1")
        except Conflict:
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sweep, range(16)))

    assert world.jobs.get(ACME, "j1").attempt == 2
    assert sorted(world.states.started) == ["j1-1", "j1-2"]


STEPS = st.sampled_from(["start", "run", "complete", "fail", "cancel", "sweep", "die", "note"])


@examples(150)
@given(st.lists(STEPS, max_size=14), st.dictionaries(st.integers(1, 60), st.sampled_from([*FAULTS, "crash"])))
def test_whatever_happens_a_job_ends_once_and_leaves_nothing(steps: list[str], faults: dict[int, Fault]) -> None:
    world, ends = World(), []
    sick = world.through(Plan(faults))
    _begun(world)
    for step in steps:
        job = world.jobs.get(ACME, "j1")
        deeds = {
            "start": lambda j=job: sick.jobs.start(ACME, j),
            "run": lambda j=job: sick.jobs.move(ACME, "j1", JobState.RUNNING, j.attempt),
            "complete": lambda j=job: sick.jobs.move(ACME, "j1", JobState.COMPLETED, j.attempt),
            "fail": lambda j=job: sick.jobs.settle(ACME, sick.jobs.move(ACME, "j1", JobState.FAILED, j.attempt)),
            "cancel": lambda: sick.jobs.cancel(ACME, "j1"),
            "sweep": lambda: _swept(sick),
            "note": lambda j=job: sick.jobs.note(ACME, "j1", j.attempt, {"progress": {"step": 1}}),
            "die": lambda j=job: [world.states.end(n, "FAILED") for n in world.states.started[-1:]],
        }
        if not job.state.final and step == "run":
            _containers(world, attempt=job.attempt)
        try:
            deeds[step]()
        except (Crash, Conflict, Unavailable):
            pass
        state = world.jobs.get(ACME, "j1").state
        if state.final and (not ends or ends[-1] is not state):
            ends.append(state)

    _swept(world)
    _swept(world)

    job = world.jobs.get(ACME, "j1")
    assert len(ends) <= 1
    assert bool(world.jobs.active()) == (not job.state.final)
    if job.state is JobState.CANCELLED:
        assert not world.sagemaker.running
    assert len(world.states.started) == len(set(world.states.started)) <= MAX_ATTEMPTS


def test_work_that_may_not_be_stopped_is_not_said_to_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """J8: a refusal is told, and the sweeper comes back to it; what is over, or never was, is stopped."""
    world, job = World(), _job()
    for code, told in (("AccessDeniedException", True), ("ValidationException", False), ("ResourceNotFound", False)):

        def refuse(*, code: str = code, **_: Any) -> None:
            raise client_error(code)

        monkeypatch.setattr(world.sagemaker, "stop_training_job", refuse)
        with pytest.raises(MillraceError, match="AccessDenied") if told else nullcontext():
            world.jobs.stop_containers(job)
