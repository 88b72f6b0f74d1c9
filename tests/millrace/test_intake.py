from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
import pytest
from botocore.exceptions import ResponseStreamingError
from hypothesis import given
from hypothesis import strategies as st
from millrace import intake as intake_module
from millrace.contract import DropState
from millrace.errors import Conflict, Unavailable
from millrace.intake import LEASE_S, Dropped, Intake, Report
from millrace.tenants import Kind, Tenant

from tests.fakes import FAULTS, Crash, Fault, Plan, World, examples

ACME = Tenant("acme")


class Clock:
    """Stands for the time module inside intake: leases run out when we say so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(intake_module, "time", clock)
    return clock


def _drop(world: World, body: bytes, key: str = "drop/acme/a.csv") -> Dropped:
    return Dropped("drops", key, world.s3.put_object(Bucket="drops", Key=key, Body=body)["VersionId"])


def _csv(*numbers: int, bad: int = 0) -> bytes:
    rows = [f"draft {n},final {n}" for n in numbers] + ["broken"] * bad
    return "\n".join(["prompt,completion", *rows, ""]).encode()


def _rows(world: World) -> int:
    return len(world.table.all(ACME.pk(Kind.DATA_POINT)))


def _told(world: World) -> dict[str, Any]:
    items, _ = world.intake.page(ACME, 100, None)
    return {item["id"]: item for item in items}


def _report(world: World, dropped: Dropped) -> dict[str, Any]:
    report: dict[str, Any] = world.store.get_json(f"tenants/acme/reports/{dropped.id}.json")
    return report


def _balanced(world: World) -> None:
    """The law of the intake: what the reports accepted, what stands in the table and what is counted are one number."""
    accepted = sum(item.get("accepted", 0) for item in _told(world).values())
    assert accepted == _rows(world) == world.corpus.counts(ACME).usable


def test_a_drop_is_read_once_and_tells_what_became_of_each_row() -> None:
    world = World()
    dropped = _drop(world, _csv(1, 2, 1, bad=2))

    report = world.intake.collect(ACME, dropped)

    assert isinstance(report, Report)
    assert (report.accepted, report.duplicate, report.rejected) == (2, 1, 2)
    assert [reason["line"] for reason in report.reasons] == [5, 6]
    assert _report(world, dropped) == orjson.loads(orjson.dumps(report.to_dict()))
    item = _told(world)[dropped.id]
    assert {name: item[name] for name in ("state", "accepted", "duplicate", "rejected", "reasons")} == {
        "state": "collected",
        "accepted": 2,
        "duplicate": 1,
        "rejected": 2,
        "reasons": report.reasons,
    }
    assert world.intake.collect(ACME, dropped) is None
    _balanced(world)


@pytest.mark.parametrize("body", [b"", b"\n\n", b"name,age\nx,1\n", b"prompt,completion\n", b"prompt,completion\nx\n"])
def test_a_drop_with_nothing_to_use_is_refused_with_a_reason(body: bytes) -> None:
    world = World()
    report = world.intake.collect(ACME, _drop(world, body))

    assert report and report.state is DropState.REFUSED
    assert report.rejected == len(report.reasons) > 0
    _balanced(world)


def test_a_new_version_of_an_object_is_a_drop_of_its_own() -> None:
    world = World()
    first, second = _drop(world, _csv(1)), _drop(world, _csv(1, 2))

    assert [world.intake.collect(ACME, d).accepted for d in (second, first)] == [2, 0]  # type: ignore[union-attr]
    _balanced(world)


def test_an_object_that_is_gone_is_refused_and_not_tried_for_ever() -> None:
    world = World()

    report = world.intake.collect(ACME, Dropped("drops", "drop/acme/gone.csv", "v1"))

    assert report and report.state is DropState.REFUSED
    assert report.reasons == [{"line": 0, "reason": "the object was deleted before it could be read"}]


def test_a_second_worker_is_kept_out_until_the_lease_has_run_out(clock: Clock) -> None:
    world = World()
    dropped = _drop(world, _csv(*range(10)))
    with pytest.raises(Crash):
        world.through(Plan({5: "crash"})).intake.collect(ACME, dropped)

    with pytest.raises(Unavailable, match="by another worker"):
        world.intake.collect(ACME, dropped)
    clock.now += LEASE_S + 1
    report = world.intake.collect(ACME, dropped)

    assert report and report.accepted == 10
    _balanced(world)


def test_a_lease_is_renewed_while_a_worker_works(clock: Clock) -> None:
    world = World()
    dropped = _drop(world, _csv(*range(1200)))

    class Slow(Intake):
        """Takes most of a lease for each batch; meanwhile the event comes again."""

        def _take(self, *arguments: Any) -> None:
            super()._take(*arguments)
            with pytest.raises(Unavailable):
                world.intake.collect(ACME, dropped)
            clock.now += LEASE_S * 0.9

    report = Slow(world.table, world.corpus, world.store, world.s3).collect(ACME, dropped)

    assert report and report.accepted == 1200
    _balanced(world)


def test_a_worker_that_was_overtaken_stops_and_takes_nothing_back(clock: Clock) -> None:
    world = World()
    dropped = _drop(world, _csv(*range(600)))

    class Asleep(Intake):
        def _take(self, *arguments: Any) -> None:
            super()._take(*arguments)
            clock.now += LEASE_S + 1
            world.intake.collect(ACME, dropped)

    with pytest.raises(Conflict):
        Asleep(world.table, world.corpus, world.store, world.s3).collect(ACME, dropped)

    assert _told(world)[dropped.id]["accepted"] == 600 and _told(world)[dropped.id]["state"] == "collected"
    _balanced(world)


def test_a_worker_that_fails_gives_its_lease_back_so_that_the_next_try_is_not_kept_out(clock: Clock) -> None:
    world = World()
    dropped = _drop(world, _csv(1, 2, 3))
    number = _seen(World(s3=world.s3), dropped).index("get_object") + 1

    with pytest.raises(Unavailable):
        world.through(Plan({number: "throttle"})).intake.collect(ACME, dropped)
    report = world.intake.collect(ACME, dropped)

    assert report and report.accepted == 3
    _balanced(world)


class Zombie(Intake):
    """Stops before its conclusion, and concludes when it is told to, whatever happened meanwhile."""

    def _conclude(self, tenant: Tenant, held: Any) -> None:
        self.__dict__["late"] = lambda: Intake._conclude(self, tenant, held)


def test_a_worker_that_comes_back_after_its_lease_concludes_nothing(clock: Clock) -> None:
    world = World()
    dropped = _drop(world, _csv(1, 2, 3))
    zombie = Zombie(world.table, world.corpus, world.store, world.s3)
    zombie.collect(ACME, dropped)
    clock.now += LEASE_S + 1

    world.intake.collect(ACME, dropped)
    with pytest.raises(Conflict):
        zombie.__dict__["late"]()

    assert _told(world)[dropped.id]["accepted"] == _report(world, dropped)["accepted"] == 3
    _balanced(world)


def test_a_conclusion_that_is_sent_twice_counts_once() -> None:
    world = World()
    dropped = _drop(world, _csv(1, 2))
    conclude = len(_seen(world, dropped))

    assert conclude  # the conclusion is the last call of all
    other = World()
    other.through(Plan({conclude: "twice"})).intake.collect(ACME, _drop(other, _csv(1, 2)))
    _balanced(other)


def _seen(world: World, dropped: Dropped) -> list[str]:
    plan = Plan()
    world.through(plan).intake.collect(ACME, dropped)
    return plan.seen


CALLS = len(_seen(_world := World(), _drop(_world, _csv(1, 2, 3, bad=1))))


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_whatever_call_fails_the_next_delivery_ends_it_right(number: int, fault: Fault, clock: Clock) -> None:
    world = World()
    dropped = _drop(world, _csv(1, 2, 3, bad=1))
    try:
        world.through(Plan({number: fault})).intake.collect(ACME, dropped)
    except (Crash, Unavailable):
        clock.now += LEASE_S + 1
        world.intake.collect(ACME, dropped)

    item = _told(world)[dropped.id]
    assert (item["state"], item["accepted"], item["duplicate"], item["rejected"]) == ("collected", 3, 0, 1)
    _balanced(world)


def test_a_body_that_breaks_off_is_tried_again_and_not_taken_for_the_end(clock: Clock) -> None:
    class Breaking:
        def __init__(self, world: World) -> None:
            self.world = world

        def get_object(self, **arguments: Any) -> Any:
            answer = self.world.s3.get_object(**arguments)
            whole = answer["Body"].read()

            class Body:
                def read(self) -> bytes:
                    raise ResponseStreamingError(error=whole[: len(whole) // 2])

            return {**answer, "Body": Body()}

    world = World()
    dropped = _drop(world, _csv(*range(20)))
    broken = replace(world.intake, s3=Breaking(world))  # type: ignore[arg-type]

    with pytest.raises(Unavailable):
        broken.collect(ACME, dropped)
    clock.now += LEASE_S + 1
    world.intake.collect(ACME, dropped)

    assert _told(world)[dropped.id]["accepted"] == 20
    _balanced(world)


def test_two_drops_at_once_that_share_rows_store_each_row_once() -> None:
    world = World()
    drops = [_drop(world, _csv(*range(n, n + 60)), f"drop/acme/{n}.csv") for n in (0, 20, 40)]

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda dropped: world.intake.collect(ACME, dropped), drops))

    assert sum(report.accepted for report in reports if report) == 100
    assert all(report and report.accepted + report.duplicate == 60 for report in reports)
    _balanced(world)


def test_the_same_drop_delivered_to_many_workers_at_once_is_collected_once() -> None:
    world = World()
    dropped = _drop(world, _csv(*range(50)))

    def collect(_: int) -> Report | None:
        try:
            return world.intake.collect(ACME, dropped)
        except Unavailable:
            return None

    with ThreadPoolExecutor(8) as pool:
        reports = [report for report in pool.map(collect, range(16)) if report]

    assert [report.accepted for report in reports] == [50]
    _balanced(world)


def test_the_embedded_aws_agrees(embedded: dict[str, str]) -> None:
    from millrace import aws
    from millrace.artifacts import Store
    from millrace.corpus import Corpus
    from millrace.table import Table

    s3, table = aws.s3(), Table(aws.dynamodb(), embedded["MILLRACE_TABLE"])
    corpus = Corpus(table, Store(s3, embedded["MILLRACE_DATA_BUCKET"]))
    intake, bucket = Intake(table, corpus, corpus.store, s3), embedded["MILLRACE_DROP_BUCKET"]
    drops = []
    for n in (0, 20):
        key, body = f"drop/acme/{n}.csv", _csv(*range(n, n + 40))
        drops.append(Dropped(bucket, key, s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]))

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda dropped: intake.collect(ACME, dropped), drops))

    assert sum(report.accepted for report in reports if report) == corpus.counts(ACME).usable == 60


FILES = st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=6), min_size=1, max_size=4)
DELIVERIES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.dictionaries(st.integers(1, 16), st.sampled_from([*FAULTS, "crash"]), max_size=3),
        st.booleans(),  # whether the lease runs out before the next delivery
        st.booleans(),  # whether this worker falls asleep before its conclusion and wakes up at the end
    ),
    max_size=10,
)


@examples(250)
@given(FILES, DELIVERIES)
def test_one_effect_a_row_whatever_is_delivered_twice_late_or_after_a_crash(
    files: list[list[int]], deliveries: list[tuple[int, dict[int, Fault], bool, bool]]
) -> None:
    clock, real = Clock(), intake_module.time
    intake_module.time = clock  # type: ignore[assignment]
    try:
        world, late = World(), []
        drops = [_drop(world, _csv(*numbers), f"drop/acme/{n}.csv") for n, numbers in enumerate(files)]
        for which, faults, expires, sleeps in deliveries:
            seen = world.through(Plan(faults))
            worker = (Zombie if sleeps else Intake)(seen.table, seen.corpus, seen.store, seen.s3)
            try:
                worker.collect(ACME, drops[which % len(drops)])
            except (Crash, Unavailable, Conflict):
                pass
            late += [worker.__dict__["late"]] if "late" in worker.__dict__ else []
            clock.now += LEASE_S + 1 if expires else 1
        clock.now += LEASE_S + 1
        for dropped in drops:
            world.intake.collect(ACME, dropped)
        for conclude in late:
            try:
                conclude()
            except (Crash, Unavailable, Conflict):
                pass

        told = _told(world)
        assert len(told) == len(drops)
        for dropped, numbers in zip(drops, files, strict=True):
            item = told[dropped.id]
            assert item["state"] == "collected" and item["rejected"] == 0
            assert item["accepted"] + item["duplicate"] == len(numbers)
            assert _report(world, dropped)["accepted"] == item["accepted"]
        assert _rows(world) == len({number for numbers in files for number in numbers})
        _balanced(world)
    finally:
        intake_module.time = real
