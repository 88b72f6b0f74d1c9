from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.contract import Tier
from millrace.corpus import INLINE_BYTES, Counts
from millrace.datapoints import DataPoint, Origin, content_id, split_of
from millrace.errors import Conflict, Corrupt, InvalidInput, NotFound, Unavailable
from millrace.feedback import Feedback, give
from millrace.tenants import Kind, Tenant

from tests.fakes import FAULTS, Crash, FakeS3, Fault, Plan, World, examples

ACME, OTHER = Tenant("acme", Tier.ENTERPRISE), Tenant("other", Tier.ENTERPRISE)
SOURCE = "We utilize 3 servers."


def _point(source: str, target: str, origin: Origin = Origin.DROP, ref: str = "dr1#2", at: str = "1") -> DataPoint:
    return DataPoint(content_id(source, target), origin, source, target, at, ref)


def _answer(world: World, source: str = SOURCE) -> DataPoint:
    point = DataPoint(content_id(source, "x", "salt"), Origin.ANSWER, source, "We use 3 servers.", "1", "d1", "rules")
    world.corpus.capture(ACME, point)
    return point


def _pairs(world: World, points: Sequence[DataPoint]) -> None:
    for point in points:
        world.corpus.add(ACME, point)


def _train(world: World) -> list[dict[str, str]]:
    snapshot = world.corpus.snapshot(ACME, "2026-01-01T00:00:00.000Z")
    lines = (world.store.get(key + "data.jsonl").splitlines() for key in snapshot.keys.values())
    return [orjson.loads(line) for part in lines for line in part]


def test_a_pair_belongs_to_whoever_brought_it_first_and_a_repeat_finds_its_own() -> None:
    world = World()
    assert world.corpus.add(ACME, _point("a", "b", ref="dr1#2"))
    assert world.corpus.add(ACME, _point("a", "b", ref="dr1#2"))
    assert not world.corpus.add(ACME, _point("a", "b", ref="dr2#9"))
    assert world.corpus.add(OTHER, _point("a", "b", ref="dr2#9"))


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_what_was_stored_is_what_is_read(source: str, target: str) -> None:
    world = World()
    point = _point(source, target)
    world.corpus.add(ACME, point)

    assert world.corpus.get(ACME, point.id) == point


def test_a_long_text_lies_in_the_bucket_under_its_hash_and_is_checked_when_it_is_read() -> None:
    world = World()
    point = _point("ä" * INLINE_BYTES, "b")
    world.corpus.add(ACME, point)

    assert world.corpus.get(ACME, point.id) == point
    ((key, versions),) = world.s3.objects.items()
    assert key[1].startswith("tenants/acme/bodies/")
    versions[-1] = ("v", b'["a","b"]')
    with pytest.raises(Corrupt):
        world.corpus.get(ACME, point.id)


class _Together(FakeS3):
    """Answers a read when four are under way at once."""

    def __init__(self) -> None:
        super().__init__()
        self._all = threading.Barrier(4, timeout=20)

    def get_object(self, **arguments: Any) -> Any:
        self._all.wait()
        return super().get_object(**arguments)


def test_long_texts_of_a_page_are_fetched_several_at_once() -> None:
    world = World(s3=_Together())
    world.corpus.add_all(ACME, [_point(f"{n} " * INLINE_BYTES, "x") for n in range(8)])

    points, _ = world.corpus.page(ACME, 8, None)

    assert sorted(point.source[0] for point in points) == list("01234567")


def test_a_foreign_data_point_looks_like_a_missing_one() -> None:
    world = World()
    point = _point("a", "b")
    world.corpus.add(ACME, point)

    with pytest.raises(NotFound, match=f"^There is no data point {point.id}"):
        world.corpus.get(OTHER, point.id)


@examples(60)
@given(st.permutations([(f"source {n % 7}", f"target {n}", n) for n in range(12)]))
def test_the_same_pairs_give_the_same_snapshot_in_whatever_order_they_came(pairs: list[tuple[str, str, int]]) -> None:
    world = World()
    _pairs(world, [_point(source, target, at=str(n)) for source, target, n in pairs])
    first = world.corpus.snapshot(ACME, "2026-01-01T00:00:00.000Z")
    again = world.corpus.snapshot(ACME, "2026-02-01T00:00:00.000Z")

    other = World()
    _pairs(other, [_point(source, target, at=str(n)) for source, target, n in sorted(pairs)])
    assert first == again == other.corpus.snapshot(ACME, "2026-01-01T00:00:00.000Z")
    assert sum(first.rows.values()) == 7
    assert world.corpus.load_snapshot(ACME, first.id) == first


def test_no_source_is_on_both_sides_of_a_split_and_an_answer_trains_nothing() -> None:
    world = World()
    _answer(world)
    _pairs(world, [_point(f"source {n % 50}", f"target {n}", at=str(n)) for n in range(100)])
    snapshot = world.corpus.snapshot(ACME, "2026-01-01T00:00:00.000Z")

    for split, key in snapshot.keys.items():
        rows = [orjson.loads(line) for line in world.store.get(key + "data.jsonl").splitlines()]
        assert len(rows) == snapshot.rows[split]
        assert all(split_of(row["source"]) == split for row in rows)
    assert sum(snapshot.rows.values()) == 50


def test_an_edit_stands_over_a_row_and_the_later_row_over_the_earlier() -> None:
    world = World()
    edit = _point("a", "edited", Origin.EDIT, at="1")
    _pairs(
        world,
        [
            _point("a", "early", at="2"),
            edit,
            _point("a", "late", at="3"),
            _point("b", "x", at="1"),
            _point("b", "y", at="2"),
        ],
    )

    assert {(row["source"], row["target"]) for row in _train(world)} == {("a", "edited"), ("b", "y")}


def test_a_snapshot_of_another_tenant_is_not_there() -> None:
    world = World()
    _pairs(world, [_point("a", "b")])
    snapshot = world.corpus.snapshot(ACME, "2026-01-01T00:00:00.000Z")
    with pytest.raises(NotFound):
        world.corpus.load_snapshot(OTHER, snapshot.id)


def _claim(world: World, counts: Counts, number: int) -> bool:
    try:
        world.table.transact([world.corpus.claiming(ACME, counts)], op=f"claim-{number}")
    except Conflict:
        return False
    return True


def test_of_many_claims_on_the_same_pairs_one_wins() -> None:
    world = World()
    for usable in (60, 40):
        world.table.transact([world.corpus.counting(ACME, usable)], op=f"count-{usable}")
        counts = world.corpus.counts(ACME)
        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(lambda n: _claim(world, counts, n), range(16)))  # noqa: B023
        assert wins.count(True) == 1
        assert world.corpus.counts(ACME).fresh == 0


def test_a_claim_on_nothing_does_not_stand_in_the_way_of_the_next() -> None:
    world = World()
    assert _claim(world, world.corpus.counts(ACME), 1)

    world.table.transact([world.corpus.counting(ACME, 5)], op="count")

    assert _claim(world, world.corpus.counts(ACME), 2)
    assert world.corpus.counts(ACME) == Counts(5, 5)


# --- feedback ---------------------------------------------------------------------------------------------------------
def test_a_correction_is_a_data_point_linked_to_its_answer_and_counted_once() -> None:
    world = World()
    answer = _answer(world)

    (point,) = give(world.corpus, ACME, Feedback(answer.id, "We run 3 servers.", 5)).points
    (again,) = give(world.corpus, ACME, Feedback(answer.id, " We run 3 servers. ")).points

    assert point.id == again.id
    assert (point.origin, point.origin_ref, point.model_id) == (Origin.EDIT, answer.id, "rules")
    assert world.corpus.counts(ACME).usable == 1
    state = world.table.get(ACME.pk(Kind.DATA_POINT, answer.id), "state") or {}
    assert (state["rating"], state["edit_id"]) == (5, point.id)


def test_a_rating_trains_nothing() -> None:
    world = World()
    assert give(world.corpus, ACME, Feedback(_answer(world).id, rating=1)).points == ()
    assert world.corpus.counts(ACME).usable == 0


@pytest.mark.parametrize(
    ("edited", "says"),
    [
        (None, "holds an edited_text, a rating"),
        ("  ", "is empty; leave it out to rate only"),
        (f" {SOURCE} ", "nothing to learn from it"),
        ("x" * 60_001, "has 60,001 characters; at most 60,000"),
        ("\ud800", "unpaired surrogate"),
    ],
)
def test_feedback_that_says_nothing_is_refused_in_words(edited: str | None, says: str) -> None:
    world = World()
    with pytest.raises(InvalidInput, match=says):
        give(world.corpus, ACME, Feedback(_answer(world).id, edited))


def test_a_decision_that_is_foreign_missing_or_none_looks_the_same() -> None:
    world = World()
    answer, row = _answer(world), _point("a", "b")
    world.corpus.add(ACME, row)

    for tenant, id in ((OTHER, answer.id), (ACME, "nope"), (ACME, row.id)):
        with pytest.raises(NotFound) as told:
            give(world.corpus, tenant, Feedback(id, rating=3))
        assert str(told.value) == f"There is no decision {id}."


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, 6))
def test_a_correction_whose_calls_fail_is_there_once_when_repeated(number: int, fault: Fault) -> None:
    world = World()
    answer = _answer(world)
    try:
        give(world.through(Plan({number: fault})).corpus, ACME, Feedback(answer.id, "We run 3 servers."))
    except (Crash, Unavailable):
        pass

    give(world.corpus, ACME, Feedback(answer.id, "We run 3 servers."))

    assert world.corpus.counts(ACME).usable == 1 == len(_train(world))


def test_the_same_correction_by_many_at_once_is_one_data_point() -> None:
    world = World()
    answer = _answer(world)

    def correct(number: int) -> None:
        give(world.corpus, ACME, Feedback(answer.id, f"We run {number % 2 + 3} servers."))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(correct, range(24)))

    assert world.corpus.counts(ACME).usable == 2


def test_of_a_correction_and_a_row_of_the_same_two_texts_the_correction_trains() -> None:
    world = World()
    answer = _answer(world)
    world.corpus.add(ACME, _point(SOURCE, "We run 3 servers."))

    give(world.corpus, ACME, Feedback(answer.id, "We run 3 servers."))

    assert world.corpus.counts(ACME).usable == 1  # the row's own drop counts it
    (row,) = _train(world)
    assert (row["target"], row["rejected"]) == ("We run 3 servers.", "We use 3 servers.")
