from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.contract import JobState, ModelState, Tier
from millrace.errors import Conflict, InvalidInput, NotFound, Unavailable
from millrace.jobs import Job
from millrace.models import LEGAL, RESERVED, Model, check_name, may_become
from millrace.table import Table
from millrace.tenants import Tenant

from tests.fakes import FAULTS, Crash, Fault, Plan, World, examples

ACME, OTHER = Tenant("acme", Tier.ENTERPRISE), Tenant("other", Tier.ENTERPRISE)


def _job(world: World, id: str = "j1", **values: Any) -> Job:
    given = {"strategy": "lora-sft", "attempt": 1, "snapshot_id": "sn1", "model_name": "humanizer"}
    given |= {"created_at": "2026-01-01T00:00:00.000Z", "started_by": "person", "state": JobState.PENDING}
    job = Job(id=id, **{**given, **values})
    world.jobs.create(ACME, job)
    return job


def _ready(world: World, id: str) -> Model:
    model = world.registry.plan_version(ACME, _job(world, id), {})
    return world.registry.move(ACME, model.id, ModelState.READY)


def _serving(world: World) -> list[str]:
    models, _ = world.registry.page(ACME, 100, None)
    return [model.id for model in models if model.state is ModelState.ACTIVE]


def test_a_job_has_one_version_however_often_it_is_planned() -> None:
    world = World()
    job = _job(world)

    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: world.registry.plan_version(ACME, job, {"base": "tiny"}), range(16)))

    assert {model.id for model in models} == {"humanizer@1"}
    assert models[0].lineage == {"base": "tiny", "job_id": "j1", "snapshot_id": "sn1", "parent": None}
    assert world.jobs.get(ACME, "j1").model_id == "humanizer@1"


def test_many_jobs_at_once_get_one_number_each_without_a_gap() -> None:
    world = World()
    jobs = [_job(world, f"j{n}") for n in range(16)]

    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda job: world.registry.plan_version(ACME, job, {}), jobs))

    assert sorted(model.version for model in models) == list(range(1, 17))
    assert all(world.jobs.get(ACME, job.id).model_id == model.id for job, model in zip(jobs, models, strict=True))


def test_numbers_hold_on_the_embedded_table_too(embedded: dict[str, str]) -> None:
    from millrace import aws

    world = World(dynamo=aws.dynamodb())
    table = Table(world.dynamo, embedded["MILLRACE_TABLE"])

    class Embedded(World):
        table = property(lambda self: table)  # type: ignore[assignment]

    world = Embedded()
    jobs = [_job(world, f"j{n}") for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        models = list(pool.map(lambda job: world.registry.plan_version(ACME, job, {}), jobs))

    assert sorted(model.version for model in models) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, 6))
def test_a_plan_that_fails_at_any_call_gives_the_same_version_when_repeated(number: int, fault: Fault) -> None:
    world = World()
    job = _job(world)
    try:
        world.through(Plan({number: fault})).registry.plan_version(ACME, job, {})
    except (Crash, Unavailable):
        pass

    model = world.registry.plan_version(ACME, job, {})

    assert model.id == "humanizer@1" and len(world.registry.page(ACME, 100, None)[0]) == 1


@pytest.mark.parametrize("over", [{"state": "cancelled"}, {"attempt": 2}])
def test_an_attempt_that_is_over_gets_no_version(over: dict[str, Any]) -> None:
    world = World()
    job = _job(world)
    world.table.put((world.table.get("acme#job#j1", "body") or {}) | over)

    with pytest.raises(Conflict, match="Attempt 1 of training job j1 is over"):
        world.registry.plan_version(ACME, job, {})


@given(st.lists(st.sampled_from(ModelState), max_size=8))
def test_a_version_moves_only_as_the_table_of_moves_says(wanted: list[ModelState]) -> None:
    world = World()
    model, state = world.registry.plan_version(ACME, _job(world), {}), ModelState.QUEUED

    for to in wanted:
        legal = to in LEGAL[state] or to is state
        try:
            world.registry.move(ACME, model.id, to)
        except Conflict:
            assert not legal
        else:
            assert legal
            state = to
        assert world.registry.get(ACME, model.id).state is state


def test_failed_is_an_end_and_only_a_ready_version_can_serve() -> None:
    assert not LEGAL[ModelState.FAILED]
    assert may_become(ModelState.ACTIVE) == ("ready",)


def test_one_version_serves_and_the_one_before_is_ready() -> None:
    world = World()
    first, second = _ready(world, "j1"), _ready(world, "j2")

    world.registry.activate(ACME, first)
    world.registry.activate(ACME, second)
    world.registry.activate(ACME, second)

    active = world.registry.active(ACME, "humanizer")
    assert active and active.id == second.id
    assert _serving(world) == [second.id]
    assert world.registry.get(ACME, first.id).state is ModelState.READY


def test_a_version_that_is_pointed_at_and_not_active_is_made_active_again() -> None:
    world = World()
    model = _ready(world, "j1")
    world.registry.activate(ACME, model)
    world.registry.move(ACME, model.id, ModelState.READY)

    world.registry.activate(ACME, model)

    assert _serving(world) == [model.id]


def test_a_failed_version_is_never_activated() -> None:
    world = World()
    model = world.registry.plan_version(ACME, _job(world), {})
    world.registry.move(ACME, model.id, ModelState.FAILED)

    with pytest.raises(Conflict):
        world.registry.activate(ACME, model)
    assert world.registry.active(ACME, "humanizer") is None


class _Meanwhile:
    """Lets somebody else do something just before the first transaction goes out."""

    def __init__(self, dynamo: Any, deed: Callable[[], object]) -> None:
        self.dynamo, self.deeds = dynamo, [deed]

    def __getattr__(self, name: str) -> Any:
        if name == "transact_write_items" and self.deeds:
            self.deeds.pop()()
        return getattr(self.dynamo, name)


def test_an_activation_that_is_overtaken_looks_again_and_leaves_one_that_serves() -> None:
    world = World()
    first, second = _ready(world, "j1"), _ready(world, "j2")
    overtaken = World(dynamo=_Meanwhile(world.dynamo, lambda: world.registry.activate(ACME, second)))

    overtaken.registry.activate(ACME, first)

    active = world.registry.active(ACME, "humanizer")
    assert active and _serving(world) == [active.id] == [first.id]
    assert world.registry.get(ACME, second.id).state is ModelState.READY


def test_a_numbering_that_is_overtaken_takes_the_next_number() -> None:
    world = World()
    mine, other = _job(world, "j1"), _job(world, "j2")
    overtaken = World(dynamo=_Meanwhile(world.dynamo, lambda: world.registry.plan_version(ACME, other, {})))

    assert overtaken.registry.plan_version(ACME, mine, {}).version == 2
    assert world.registry.plan_version(ACME, _job(world, "j3"), {}).version == 3


def test_many_activations_at_once_leave_one_that_serves() -> None:
    world = World()
    models = [_ready(world, f"j{n}") for n in range(6)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda model: world.registry.activate(ACME, model), models * 3))

    active = world.registry.active(ACME, "humanizer")
    assert active and _serving(world) == [active.id]


ACTIONS = st.tuples(st.integers(0, 2), st.dictionaries(st.integers(1, 8), st.sampled_from([*FAULTS, "crash"])))


@examples(60)
@given(st.lists(ACTIONS, max_size=6))
def test_activations_that_fail_anywhere_never_leave_two_that_serve(actions: list[tuple[int, dict[int, Fault]]]) -> None:
    world = World()
    models = [_ready(world, f"j{n}") for n in range(3)]

    for which, faults in actions:
        try:
            world.through(Plan(faults)).registry.activate(ACME, models[which])
        except (Crash, Unavailable):
            world.registry.activate(ACME, models[which])
        active = world.registry.active(ACME, "humanizer")
        assert active and _serving(world) == [active.id] == [models[which].id]


def test_a_foreign_version_looks_like_a_missing_one() -> None:
    world = World()
    model = _ready(world, "j1")

    with pytest.raises(NotFound) as foreign:
        world.registry.get(OTHER, model.id)
    with pytest.raises(NotFound) as missing:
        World().registry.get(OTHER, model.id)
    assert str(foreign.value) == str(missing.value) == "There is no model humanizer@1."


@pytest.mark.parametrize("name", ["", "a", "Humanizer", "1abc", "a" * 33, "a b", "a@1", "abc\n", "ä-b", *RESERVED])
def test_a_name_that_no_model_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="A model's name is 2 to 32"):
        check_name(name)
    assert check_name("humanizer-2") == "humanizer-2"
