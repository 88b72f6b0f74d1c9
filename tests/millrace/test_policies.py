"""New data, a schedule or drift start one training, whoever looks, however often, and however many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from millrace.errors import Conflict, InvalidInput, MillraceError, Unavailable
from millrace.policies import AGAIN, Collection, TrainingPolicy
from millrace.tenants import Tenant

from tests.fakes import FAULTS, Crash, Fault, Plan, World
from tests.millrace.curated import ACME, OTHER, bring, pair

AT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


def _collection(world: World) -> Collection:
    return Collection(world.table, world.training, 60)


def _jobs(world: World) -> int:
    return len([key for key in world.dynamo.items if key[0].startswith("acme#job#") and key[1] == "body"])


def _with(count: int, policy: TrainingPolicy | None = None) -> World:
    world = World()
    bring(world, [pair(n) for n in range(count)])
    if policy:
        _collection(world).set(ACME, policy, AT)
    return world


def test_without_a_policy_the_stages_threshold_holds() -> None:
    assert _collection(_with(59)).on_new(ACME) is None
    assert _collection(_with(60)).on_new(ACME) is not None


def test_a_policys_threshold_holds_and_nothing_ever_begins_at_none() -> None:
    assert _collection(_with(60, TrainingPolicy(61))).on_new(ACME) is None
    assert _collection(_with(200, TrainingPolicy(0))).on_new(ACME) is None


def test_a_schedule_trains_on_whatever_is_new_and_once() -> None:
    world = _with(80, TrainingPolicy(0, schedule="every 6 hours"))
    collection = _collection(world)
    assert collection.on_time(AT + timedelta(hours=5)) == {}

    begun = collection.on_time(AT + timedelta(hours=6))

    assert begun["acme"] is not None and _jobs(world) == 1
    assert collection.on_time(AT + timedelta(hours=6)) == {}
    assert collection.on_time(AT + timedelta(hours=12)) == {"acme": None}
    bring(world, [pair(n) for n in range(1000, 1010)])
    assert collection.on_time(AT + timedelta(hours=18))["acme"] is not None
    assert _jobs(world) == 2


def test_the_gate_of_a_policys_training_has_the_policys_bounds() -> None:
    """J9: in the policy as in a request."""
    world = _with(60, TrainingPolicy(60, gate={"edit_rate": 0.7}))

    job = _collection(world).on_new(ACME)

    assert job and job.thresholds == {"edit_rate": 0.7} == world.jobs.get(ACME, job.id).thresholds


def test_a_schedule_that_was_taken_back_fires_no_more() -> None:
    world = _with(80, TrainingPolicy(0, schedule="every hour"))
    _collection(world).set(ACME, TrainingPolicy(0, version=1), AT)

    assert _collection(world).on_time(AT + timedelta(days=30)) == {}


def test_many_who_look_at_the_same_minute_and_new_data_begin_one_training() -> None:
    world = _with(80, TrainingPolicy(60, schedule="every hour", on_drift=True))
    collection = _collection(world)
    deeds = [
        lambda: collection.on_time(AT + timedelta(hours=1)),
        lambda: collection.on_new(ACME),
        lambda: collection.on_drift(ACME),
    ] * 5

    def act(number: int) -> None:
        try:
            deeds[number]()
        except Conflict:
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(len(deeds))))

    assert _jobs(world) == 1


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, 20, 2))
def test_a_schedule_whose_calls_fail_begins_one_training_in_the_end(number: int, fault: Fault) -> None:
    world = _with(80, TrainingPolicy(0, schedule="every hour"))
    try:
        _collection(world.through(Plan({number: fault}))).on_time(AT + timedelta(hours=1))
    except (Crash, MillraceError):
        pass

    _collection(world).on_time(AT + timedelta(hours=1))
    _collection(world).on_time(AT + timedelta(hours=2))

    assert _jobs(world) == 1


def test_a_schedule_that_cannot_fire_is_put_off_and_keeps_nobody_from_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _with(80, TrainingPolicy(0, schedule="every hour"))
    _collection(world).set(OTHER, TrainingPolicy(0, schedule="every hour"), AT)
    at, told, policy_of = AT + timedelta(hours=1), list[str](), Collection.policy

    def policy(self: Collection, tenant: Tenant) -> TrainingPolicy:
        if tenant == ACME:
            raise Unavailable("not now")
        return policy_of(self, tenant)

    monkeypatch.setattr(Collection, "policy", policy)
    assert _collection(world).on_time(at, lambda tenant, _: told.append(tenant)) == {OTHER.id: None}
    monkeypatch.undo()

    assert told == ["acme"] and _collection(world).on_time(at + timedelta(minutes=1)) == {}
    assert _collection(world).on_time(at + AGAIN)["acme"] is not None


def test_drift_trains_where_the_policy_wants_it() -> None:
    assert _collection(_with(80, TrainingPolicy(0))).on_drift(ACME) is None
    assert _collection(_with(80, TrainingPolicy(0, on_drift=True))).on_drift(ACME) is not None


def test_a_month_has_so_many_trainings_and_one_that_did_not_begin_is_none() -> None:
    world = _with(5, TrainingPolicy(1, max_per_month=1))
    collection = _collection(world)
    assert collection.on_new(ACME) is None  # too few to train on at all
    bring(world, [pair(n) for n in range(5, 85)])
    assert collection.on_new(ACME) is not None

    bring(world, [pair(n) for n in range(1000, 1080)])

    assert collection.on_new(ACME) is None and _jobs(world) == 1
    assert _collection(_with(80, TrainingPolicy(1, max_per_month=0))).on_new(ACME) is None


def test_no_change_of_a_policy_is_lost() -> None:
    world = World()
    collection = _collection(world)
    first = collection.set(ACME, TrainingPolicy(10), AT)
    assert (first.version, collection.policy(ACME)) == (1, first)

    def change(threshold: int) -> bool:
        try:
            collection.set(ACME, TrainingPolicy(threshold, version=1), AT)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = sum(pool.map(change, range(20, 36)))

    assert won == 1 and collection.policy(ACME).version == 2


@pytest.mark.parametrize(
    "wrong",
    [
        TrainingPolicy(-1),
        TrainingPolicy(1, strategy="alchemy"),
        TrainingPolicy(1, strategy="cnn-search"),
        TrainingPolicy(1, gate={"majority_gain_low": 0.1}),
        TrainingPolicy(1, schedule="sometimes"),
        TrainingPolicy(1, max_per_month=-1),
    ],
)
def test_a_policy_that_could_never_begin_anything_is_refused(wrong: TrainingPolicy) -> None:
    with pytest.raises((InvalidInput, MillraceError)):
        _collection(World()).set(ACME, wrong, AT)


def test_one_tenants_schedule_is_not_anothers() -> None:
    world = _with(80, TrainingPolicy(0, schedule="every hour"))
    bring(world, [pair(n) for n in range(80)], OTHER)

    assert set(_collection(world).on_time(AT + timedelta(hours=1))) == {"acme"}
