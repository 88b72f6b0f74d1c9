"""What trains and what does not; that a snapshot never changes; and which snapshots hold a point."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace import snapshots
from millrace.datapoints import SPLITS, DataPoint, Origin, Turn, content_id, split_of
from millrace.datapolicy import DataPolicy, set_data_policy
from millrace.errors import TooLarge
from millrace.similar import ALIKE, likeness, signature
from millrace.snapshots import LINE, Snapshot
from millrace.tenants import Kind

from tests.fakes import Plan, World, examples
from tests.millrace.curated import ACME, bring, pair

AT = "2026-03-01T00:00:00.000Z"


def _rows(world: World, snapshot: Snapshot) -> dict[str, list[dict[str, object]]]:
    return {
        split: [orjson.loads(line) for line in world.store.get(key + "data.jsonl").splitlines()]
        for split, key in snapshot.keys.items()
    }


def _manifest(world: World, snapshot: Snapshot) -> dict[str, object]:
    told: dict[str, object] = world.store.get_json(ACME.prefix("snapshots", snapshot.id, "manifest.json"))
    return told


def _alike(count: int) -> list[DataPoint]:
    """Points whose sources are near duplicates of each other, and fall into every split."""
    words = [f"word{n}" for n in range(60)]
    points = []
    for number in range(count):
        source = " ".join([*words, f"ending{number}"])
        points.append(
            DataPoint(content_id(source, "short"), Origin.DROP, source, "a target " * 30, AT, f"dr1#{number}")
        )
    return points


def test_a_near_duplicate_of_a_test_text_never_trains() -> None:
    world, close = World(), _alike(40)
    bring(world, [*close, *(pair(n) for n in range(60))])
    assert {split_of(point.source) for point in close} == set(SPLITS)
    set_data_policy(world.table, ACME, DataPolicy(min_quality=0))

    rows = _rows(world, snapshot := world.corpus.snapshot(ACME, AT))

    for split, others in (("train", ("validation", "test")), ("validation", ("test",))):
        held_out = [signature(str(row["source"])) for other in others for row in rows[other]]
        for row in rows[split]:
            assert all(likeness(signature(str(row["source"])), one) < ALIKE for one in held_out)
    left = _manifest(world, snapshot)["left_out"]
    assert left["leaking_from_train"] > 0 and left["leaking_from_validation"] > 0  # type: ignore[index]
    assert rows["test"] and all(split_of(str(row["source"])) == "test" for row in rows["test"])


def test_what_is_worse_than_the_policy_says_trains_nothing() -> None:
    world = World()
    bad = DataPoint(content_id("a 1 b", "x"), Origin.DROP, "We moved 3 servers to Rome.", "No.", AT, "dr1#1")
    bring(world, [bad, *(pair(n) for n in range(20))])

    for least, there in ((0.0, True), (0.8, False)):
        set_data_policy(world.table, ACME, DataPolicy(min_quality=least))
        rows = _rows(world, snapshot := world.corpus.snapshot(ACME, AT))
        assert (bad.id in {row["id"] for part in rows.values() for row in part}) is there
        assert _manifest(world, snapshot)["policy"]["min_quality"] == least  # type: ignore[index]


def test_what_was_never_assessed_is_rated_on_the_way() -> None:
    world = World()
    world.corpus.add_counted(ACME, [pair(n) for n in range(20)])
    set_data_policy(world.table, ACME, DataPolicy(min_quality=0.999))

    assert sum(world.corpus.snapshot(ACME, AT).rows.values()) == 0


def test_of_near_duplicates_only_the_best_trains_where_the_policy_says_so() -> None:
    world = World()
    bring(world, _alike(20))

    for many in (True, False):
        set_data_policy(world.table, ACME, DataPolicy(min_quality=0, near_duplicates=many))
        rows = world.corpus.snapshot(ACME, AT).rows
        assert (sum(rows.values()) == 1) is not many


def test_an_edit_goes_before_an_accepted_answer_before_a_row() -> None:
    world = World()
    row, accepted, edit = (
        replace(pair(1, origin), id=f"dp{origin}", target=f"The server uses unit1 and crate7 daily, {origin}.")
        for origin in (Origin.DROP, Origin.ACCEPTED, Origin.EDIT)
    )
    for points, best in (([row], row), ([row, accepted], accepted), ([row, accepted, edit], edit)):
        bring(world, points)
        (told,) = [one for part in _rows(world, world.corpus.snapshot(ACME, AT)).values() for one in part]
        assert told["id"] == best.id


def test_preferences_chats_and_negatives_are_written_as_containers_read_them() -> None:
    world = World()
    chat = replace(pair(1), id="dp1", rejected="It is utilized.", context=(Turn("system", "Be brief."),))
    negative = replace(pair(2, Origin.NEGATIVE), id="dp2")
    bring(world, [chat, negative, pair(2)])

    rows = [row for part in _rows(world, world.corpus.snapshot(ACME, AT)).values() for row in part]

    told = {row["id"]: row for row in rows}
    assert told["dp1"]["rejected"] == "It is utilized."
    assert told["dp1"]["context"] == [{"role": "system", "content": "Be brief."}]
    assert told["dp2"]["label"] is False and "label" not in told["dp1"]
    assert len(rows) == 3


def test_a_snapshot_is_named_by_its_points_and_never_changes() -> None:
    world = World()
    bring(world, [pair(n) for n in range(30)])
    first = world.corpus.snapshot(ACME, AT)
    before = {key: [body for _, body in versions] for key, versions in world.s3.objects.items()}

    again = world.corpus.snapshot(ACME, "2026-04-01T00:00:00.000Z")

    assert first == again
    for key, bodies in before.items():
        assert set(body for _, body in world.s3.objects[key]) == set(bodies)
    item = world.table.get(ACME.pk(Kind.SNAPSHOT, first.id), "body") or {}
    assert item["created_at"] == AT and len(snapshots.code()) == 64


@examples(40)
@given(st.sets(st.integers(0, 10**6), max_size=400), st.integers(0, 10**6))
def test_a_snapshot_knows_what_it_holds(numbers: set[int], other: int) -> None:
    world = World()
    ids = sorted(f"dp{n:026x}" for n in numbers)
    world.store.write(ACME.prefix("snapshots", "sn1", "ids.txt"), snapshots._listing(ids))

    assert all(world.corpus.snapshots.holds(ACME, "sn1", id) for id in ids[:: max(1, len(ids) // 9)])
    assert world.corpus.snapshots.holds(ACME, "sn1", f"dp{other:026x}") is (other in numbers)


@pytest.mark.parametrize(
    ("name", "most"), [(lambda n: content_id("", str(n)), 2), (lambda n: f"dp{n * 7:026x}", 12)], ids=["hashes", "none"]
)
def test_looking_into_a_snapshot_of_half_a_million_reads_little_of_it(name: Callable[[int], str], most: int) -> None:
    """C8: a hash stands near where its digits say; what is none is found all the same."""
    world, key = World(), ACME.prefix("snapshots", "sn1", "ids.txt")
    world.store.write(key, snapshots._listing(sorted(map(name, range(500_000)))))
    read: list[int] = []
    whole = world.s3.get_object

    def counted(**asked: object) -> object:
        answer = whole(**asked)
        read.append(answer["ContentLength"])
        return answer

    world.s3.get_object = counted
    assert world.corpus.snapshots.holds(ACME, "sn1", name(333_333))

    assert len(read) <= most and sum(read) <= most * 1024 * LINE


def test_a_snapshot_of_before_has_its_points_in_its_manifest() -> None:
    world = World()
    world.store.put_json(ACME.prefix("snapshots", "sn0", "manifest.json"), {"data_points": ["dp1"]})

    assert world.corpus.snapshots.holds(ACME, "sn0", "dp1")
    assert not world.corpus.snapshots.holds(ACME, "sn0", "dp2")


def test_texts_that_the_disk_does_not_hold_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, body: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    world = World()
    bring(world, [pair(1)])
    monkeypatch.setattr(snapshots.tempfile, "TemporaryFile", Full)

    with pytest.raises(TooLarge, match="more than the disk here holds"):
        world.corpus.snapshot(ACME, AT)


def test_answers_that_nobody_corrected_are_passed_over_and_not_read() -> None:
    world = World()
    answers = [replace(pair(n, Origin.ANSWER), id=f"an{n}", source="long " * 3_000) for n in range(30)]
    for answer in answers:
        world.corpus.capture(ACME, answer)
    bring(world, [pair(n) for n in range(20)])
    read = Plan()

    snapshot = world.through(read).corpus.snapshots.take(ACME, AT, most=20)

    assert sum(snapshot.rows.values()) == 20 and "get_object" not in read.seen
    assert _manifest(world, snapshot)["left_out"] == {"answers": 30}
    with pytest.raises(TooLarge):
        world.corpus.snapshots.take(ACME, AT, most=4)


def test_what_came_later_is_in_no_snapshot_of_before() -> None:
    world = World()
    bring(world, [replace(pair(n), created_at=f"2026-03-{n:02}T00:00:00.000Z") for n in range(1, 29)])

    rows = world.corpus.snapshots.take(ACME, AT, until="2026-03-10T00:00:00.000Z").rows

    assert sum(rows.values()) == 10


def test_more_points_than_are_read_are_told_so() -> None:
    world = World()
    bring(world, [pair(n) for n in range(120)])

    with pytest.raises(TooLarge, match="more than 100 data points"):
        world.corpus.snapshots.take(ACME, AT, most=100)
