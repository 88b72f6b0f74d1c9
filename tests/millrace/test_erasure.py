"""What is deleted is gone from everything that comes later, and what it had touched is named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from typing import Any

import orjson
import pytest
from millrace.browsing import Filters
from millrace.corpus import _body
from millrace.datapoints import Origin
from millrace.datapolicy import DataPolicy, set_data_policy
from millrace.erasure import PER_CALL, Erasure, Touched
from millrace.errors import InvalidInput, MillraceError, NotFound
from millrace.feedback import Feedback, give
from millrace.files import Files
from millrace.indexing import Index, means
from millrace.tenants import Kind

from tests.fakes import FAULTS, Crash, Fault, Plan, World
from tests.millrace.curated import ACME, OTHER, bring, every, pair


def _erasure(world: World) -> Erasure:
    return Erasure(world.corpus, world.jobs)


def _trained(world: World, job_id: str) -> str:
    job = world.training.begin(ACME, job_id)
    snapshot_id = str(job.snapshot_id)
    world.corpus.snapshots.link(ACME, snapshot_id, job.id)
    return snapshot_id


def _seeded(count: int = 80) -> World:
    world = World()
    set_data_policy(world.table, ACME, DataPolicy(min_quality=0))
    bring(world, [pair(n) for n in range(count)])
    return world


def _held(world: World, snapshot_id: str) -> list[str]:
    return world.store.get(ACME.prefix("snapshots", snapshot_id, "ids.txt")).decode().split()


def test_a_deletion_names_every_snapshot_and_job_that_the_point_touched() -> None:
    world = _seeded()
    first = _trained(world, "j1")
    later = pair(500)
    bring(world, [later])
    second = world.corpus.snapshot(ACME, "2027-01-02T00:00:00.000Z").id
    world.corpus.snapshots.link(ACME, second, "jnever")
    point = next(id for id in _held(world, first) if id in _held(world, second))

    touched = _erasure(world).delete(ACME, point, "somebody")

    assert touched == Touched(sorted([first, second]), ["j1", "jnever"], [])
    third = world.corpus.snapshot(ACME, "2027-02-01T00:00:00.000Z").id
    assert point not in _held(world, third) and point in _held(world, first)


def test_a_deletion_that_ends_after_the_text_was_added_again_leaves_it() -> None:
    world = World()
    long = replace(pair(3), id="dplong", source="zanzibar " * 2_000)
    bring(world, [long])
    _erasure(world).delete(ACME, "dplong", "somebody")
    audit = world.table.get(ACME.pk(Kind.AUDIT, "dplong"), "deleted") or {}
    bring(world, [long])

    _erasure(world)._forget_body(ACME, audit)

    assert world.corpus.get(ACME, "dplong") == long


class Turns:
    """Lets the calls of two callers through in one given order; who has ended is passed over."""

    def __init__(self, order: str) -> None:
        self._left, self._ended, self._moved = list(order), set[str](), threading.Condition()

    def take(self, who: str) -> None:
        with self._moved:
            assert self._moved.wait_for(lambda: self._next() in (who, ""), timeout=20)
            if self._left:
                self._left.pop(0)
            self._moved.notify_all()

    def end(self, who: str) -> None:
        with self._moved:
            self._ended.add(who)
            self._moved.notify_all()

    def _next(self) -> str:
        while self._left and self._left[0] in self._ended:
            self._left.pop(0)
        return self._left[0] if self._left else ""


class Taking:
    """A client that does each call in its caller's turn."""

    def __init__(self, inner: Any, turns: Turns, who: str) -> None:
        self._inner, self._turns, self._who = inner, turns, who

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)
        if not callable(call) or name == "execute_batches":
            return call

        def in_turn(**arguments: Any) -> Any:
            self._turns.take(self._who)
            return call(**arguments)

        return in_turn


def _seen(world: World, turns: Turns, who: str) -> World:
    return World(Taking(world.dynamo, turns, who), Taking(world.s3, turns, who))


@pytest.mark.parametrize("way", ["add", "add_all"])
def test_a_long_text_that_is_added_while_its_deletion_ends_has_its_body_in_whatever_order(way: str) -> None:
    """The calls of both, in every order that they can have: five of who adds, five of who deletes."""
    long = replace(pair(3), id="dplong", source="zanzibar " * 2_000)
    for adding in combinations(range(10), 5):
        world = World()
        bring(world, [long])
        _erasure(world).delete(ACME, "dplong", "somebody")
        audit = world.table.get(ACME.pk(Kind.AUDIT, "dplong"), "deleted") or {}
        world.store.put(audit["body_key"], _body(long))  # the deletion stopped before it took the object
        turns = Turns("".join("a" if place in adding else "d" for place in range(10)))

        def add(turns: Turns = turns, world: World = world) -> None:
            corpus = _seen(world, turns, "a").corpus
            corpus.add(ACME, long) if way == "add" else corpus.add_all(ACME, [long])
            turns.end("a")

        def forget(turns: Turns = turns, world: World = world, audit: dict[str, Any] = audit) -> None:
            _erasure(_seen(world, turns, "d"))._forget_body(ACME, audit)
            turns.end("d")

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(add), pool.submit(forget)]:
                done.result()

        assert world.corpus.get(ACME, "dplong") == long, adding


def test_a_point_that_was_added_again_keeps_what_its_first_deletion_named() -> None:
    world = _seeded()
    first = _trained(world, "j1")
    point = next(pair(n) for n in range(80) if pair(n).id in _held(world, first))
    _erasure(world).delete(ACME, point.id, "somebody")
    bring(world, [replace(point, created_at="2027-01-02T00:00:00.000Z")])

    _erasure(world).delete(ACME, point.id, "somebody")

    audit = world.table.get(ACME.pk(Kind.AUDIT, point.id), "deleted") or {}
    assert (audit["snapshots"], audit["jobs"]) == ([first], ["j1"])


def test_a_point_that_was_added_again_names_who_trained_on_its_old_snapshot_since() -> None:
    """C8: the same points are the same snapshot, which is as old as when it was first taken."""
    world = _seeded()
    first = _trained(world, "j1")
    point = next(pair(n) for n in range(80) if pair(n).id in _held(world, first))
    _erasure(world).delete(ACME, point.id, "somebody")
    bring(world, [replace(point, created_at="2099-01-02T00:00:00.000Z")])
    assert _trained(world, "j2") == first

    assert _erasure(world).delete(ACME, point.id, "somebody").jobs == ["j1", "j2"]


def _file(world: World, count: int) -> tuple[Files, str]:
    files = Files(world.intake, "data")
    turns = ("We lit lamp {} in the hall.", "Lamp {} is lit.")
    chats = [
        {"messages": [{"role": r, "content": t.format(n)} for r, t in zip(("user", "assistant"), turns, strict=True)]}
        for n in range(count)
    ]
    return files, files.create(ACME, "chats.jsonl", "fine-tune", b"\n".join(map(orjson.dumps, chats)))["id"]


def test_what_was_deleted_is_not_trained_on_by_way_of_its_file() -> None:
    """C8: no later snapshot holds the point, though the file has it still."""
    world = World()
    files, id = _file(world, 3)
    first, *others = _held(world, files.snapshot(ACME, id))

    _erasure(world).delete(ACME, first, "somebody")
    assert _held(world, files.snapshot(ACME, id)) == others

    for other in others:
        _erasure(world).delete(ACME, other, "somebody")
    with pytest.raises(InvalidInput, match="were deleted as data"):
        files.snapshot(ACME, id)
    bring(world, [replace(pair(1), id=first)])
    assert _held(world, files.snapshot(ACME, id)) == [first]


def test_a_point_of_a_file_names_what_was_fine_tuned_on_the_file() -> None:
    """C8: its rows are stored after the file was made, by the clock that every one of them has."""
    world = World()
    files, id = _file(world, 80)
    snapshot = files.snapshot(ACME, id)
    job = world.training.begin(ACME, "j1", snapshot_id=snapshot)
    point = _held(world, snapshot)[0]

    touched = _erasure(world).delete(ACME, point, "somebody")

    assert (touched.snapshots, touched.jobs) == ([snapshot], [job.id])


def test_nothing_of_the_text_is_left() -> None:
    world = World()
    long = replace(pair(3), id="dplong", source="zanzibar " * 2_000, target="quixotic target")
    bring(world, [long, pair(1)])
    assert any("bodies" in key for _, key in world.s3.objects)

    _erasure(world).delete(ACME, "dplong", "somebody")

    left = repr(world.s3.objects) + repr(world.dynamo.items)
    assert "zanzibar" not in left and "quixotic" not in left
    assert "dplong" not in repr([item for key, item in world.dynamo.items.items() if "audit" not in key[0]])
    assert every(world, Filters(search="zanzibar")) == []
    audit = world.table.get(ACME.pk(Kind.AUDIT, "dplong"), "deleted") or {}
    assert (audit["who"], audit["origin"]) == ("somebody", "drop")


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, 22, 2))
def test_a_deletion_whose_calls_fail_is_finished_when_it_is_repeated(number: int, fault: Fault) -> None:
    world = World()
    long = replace(pair(3), id="dplong", source="zanzibar " * 2_000)
    bring(world, [long, pair(1)])
    try:
        _erasure(world.through(Plan({number: fault}))).delete(ACME, "dplong", "somebody")
    except (Crash, MillraceError):
        pass

    _erasure(world).delete(ACME, "dplong", "somebody")

    figures = means(Index(world.table).figures(ACME)["all"])
    assert (figures["count"], world.corpus.counts(ACME).removed) == (1, 1)
    assert "zanzibar" not in repr(world.s3.objects)
    assert [row.point.id for row in every(world, Filters())] == [pair(1).id]


class Meanwhile:
    """A client before whose nth call something else happens."""

    def __init__(self, inner: Any, number: int, happens: Callable[[], object]) -> None:
        self._inner, self._left, self._happens = inner, number, happens

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)
        if not callable(call) or name == "execute_batches":
            return call

        def after(**arguments: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._happens()
            return call(**arguments)

        return after


@pytest.mark.parametrize("number", range(1, 16))
@pytest.mark.parametrize("deleted_meanwhile", [True, False])
def test_a_point_that_is_deleted_while_it_is_indexed_leaves_nothing(number: int, deleted_meanwhile: bool) -> None:
    """C8: whichever of the two is interrupted by the other, at whatever call."""
    world, points = World(), [pair(1), replace(pair(3), id="dpgone", source="zanzibar " * 30)]
    world.corpus.add_counted(ACME, points)

    def delete(world: World = world) -> None:
        _erasure(world).delete(ACME, "dpgone", "somebody")

    def index(world: World = world) -> None:
        Index(world.table).take(ACME, points)

    if deleted_meanwhile:
        index(World(Meanwhile(world.dynamo, number, delete), world.s3))
    else:
        delete(World(Meanwhile(world.dynamo, number, index), world.s3))

    if world.table.get(ACME.pk(Kind.DATA_POINT, "dpgone"), "body"):
        delete()  # there were fewer calls
    index()
    left = repr([(key, item) for key, item in world.dynamo.items.items() if "audit" not in key[0]])
    assert "dpgone" not in left and "zanzibar" not in left
    assert (means(Index(world.table).figures(ACME)["all"])["count"], world.corpus.counts(ACME).removed) == (1, 1)


def test_many_who_delete_one_point_at_once_count_it_once() -> None:
    world = _seeded(10)

    def delete(_: int) -> None:
        try:
            _erasure(world).delete(ACME, pair(1).id, "somebody")
        except NotFound:
            pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(delete, range(6)))

    assert world.corpus.counts(ACME).removed == 1
    assert means(Index(world.table).figures(ACME)["all"])["count"] == 9


def test_a_foreign_point_looks_like_a_missing_one() -> None:
    world = _seeded(3)

    for tenant, id in ((OTHER, pair(1).id), (ACME, "dpnever")):
        with pytest.raises(NotFound, match=f"There is no data point {id}"):
            _erasure(world).delete(tenant, id, "somebody")


def test_a_deletion_by_filter_goes_on_until_nothing_is_left() -> None:
    world = _seeded(90)
    wanted = Filters(search="bakery")
    count, following = _erasure(world).count(ACME, wanted, None)
    assert (count, following) == (9, None)

    gone, cursor = [], None
    while True:
        done = _erasure(world).delete_all(ACME, Filters(source="dr1"), "somebody", cursor)
        assert len(done.ids) <= PER_CALL
        gone += done.ids
        cursor = done.next
        if cursor is None:
            break

    assert len(gone) == len(set(gone)) == 90 and every(world, Filters()) == []


@pytest.mark.parametrize("filters", [Filters(source="dr1"), Filters(search="daily")])
def test_a_deletion_by_filter_that_takes_long_stops_and_goes_on(filters: Filters) -> None:
    """C8: however many snapshots each deletion looks into, an answer comes in a request's time."""
    world, at = _seeded(40), iter(range(0, 10_000, 6))
    slow = Erasure(world.corpus, world.jobs, clock=lambda: float(next(at)))

    done = slow.delete_all(ACME, filters, "somebody", None)
    gone = [*done.ids]
    assert len(gone) == 3 and done.next and len(every(world, Filters())) == 37
    while done.next:
        done = slow.delete_all(ACME, filters, "somebody", done.next)
        gone += done.ids

    assert len(gone) == len(set(gone)) == 40 and every(world, Filters()) == []


def test_a_deletion_by_search_leaves_none_that_holds_the_word() -> None:
    world = World()
    bring(world, [replace(pair(n), id=f"dp{n}", target=f"zanzibar {n}") for n in range(400)])

    gone: list[str] = []
    cursor = None
    while True:
        done = _erasure(world).delete_all(ACME, Filters(search="zanzibar"), "somebody", cursor)
        gone += done.ids
        cursor = done.next
        if cursor is None:
            break

    assert len(gone) == len(set(gone)) == 400 and every(world, Filters()) == []


def test_a_point_that_is_being_deleted_is_left_out_of_lists_and_snapshots() -> None:
    world = _seeded()
    long = replace(pair(3), id="dplong", source="zanzibar " * 2_000)
    bring(world, [long])
    item = world.table.get(ACME.pk(Kind.DATA_POINT, "dplong"), "body") or {}
    world.store.delete(item["body_key"])  # as where its item was read before the deletion

    assert "dplong" not in [row.point.id for row in every(world, Filters())]
    assert every(world, Filters(search="zanzibar")) == []
    assert "dplong" not in _held(world, world.corpus.snapshot(ACME, "2027-01-02T00:00:00.000Z").id)


def test_what_holds_the_same_text_is_named() -> None:
    world = World()
    answer = pair(1, Origin.ANSWER)
    world.corpus.capture(ACME, answer)
    (edit,) = give(world.corpus, ACME, Feedback(answer.id, "Plainly put.")).points

    assert _erasure(world).delete(ACME, answer.id, "somebody").related == [edit.id]
    assert _erasure(world).delete(ACME, edit.id, "somebody").related == [answer.id]
