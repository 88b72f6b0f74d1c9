"""What is worked out about a data point is there once, whatever the stream does."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from millrace.datapoints import DataPoint, Origin, content_id
from millrace.errors import MillraceError
from millrace.indexing import MAX_WORDS, Index, means, words_of
from millrace.quality import assess
from millrace.table import Write
from millrace.tenants import Kind

from tests.fakes import FAULTS, Crash, Fault, Plan, World
from tests.millrace.curated import ACME, OTHER, bring, pair


def _figures(world: World) -> dict[str, object]:
    return means(Index(world.table).figures(ACME).get("all", {}))


def test_a_point_is_rated_and_its_figures_are_those_of_the_points() -> None:
    world, points = World(), [pair(n) for n in range(30)]

    bring(world, points)

    told = Index(world.table).assessed(ACME, [point.id for point in points])
    wanted = [assess(point.source, point.target) for point in points]
    assert [told[point.id].quality for point in points] == [quality.score for quality in wanted]
    figures = _figures(world)
    assert figures["count"] == 30
    assert figures["mean_improvement"] == pytest.approx(sum(q.improvement for q in wanted) / 30, abs=1e-3)
    assert sum(figures["quality_histogram"]) == 30  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_batch_whose_calls_fail_counts_once_when_it_comes_again(number: int, fault: Fault) -> None:
    world, points = World(), [pair(n) for n in range(5)]
    world.corpus.add_counted(ACME, points)
    try:
        Index(world.through(Plan({number: fault})).table).take(ACME, points)
    except (Crash, MillraceError):
        pass

    Index(world.table).take(ACME, points)

    assert _figures(world)["count"] == 5
    for word in words_of(points[0].source, points[0].target)[:3]:
        entries = world.table.newest(ACME.pk(Kind.WORD, word), 9)
        assert {id for entry in entries for id in entry["ids"]} >= {points[0].id}


def test_overlapping_batches_in_any_order_by_many_at_once_count_every_point_once() -> None:
    world, points, draw = World(), [pair(n) for n in range(60)], random.Random(1)
    world.corpus.add_counted(ACME, points)
    batches = [draw.sample(points, 15) for _ in range(24)] + [points]

    def take(batch: list[DataPoint]) -> None:
        Index(replace(world.table, pause=lambda _: None)).take(ACME, batch)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, batches))

    assert _figures(world)["count"] == 60


def test_a_near_duplicate_names_the_earlier_one() -> None:
    world = World()
    text = " ".join(f"word{n}" for n in range(40))
    first = DataPoint(content_id(text, "a b"), Origin.DROP, text, "a b", "2026-01-01T00:00:00.000Z", "dr1#1")
    close = text.replace("word7", "other")
    second = DataPoint(content_id(close, "a b"), Origin.DROP, close, "a b", "2026-01-02T00:00:00.000Z", "dr1#2")

    bring(world, [first])
    bring(world, [second, pair(1)])

    told = Index(world.table).assessed(ACME, [first.id, second.id, pair(1).id])
    assert [told[id].near for id in (first.id, second.id, pair(1).id)] == [None, first.id, None]
    assert _figures(world)["near_duplicates"] == 1


def test_the_writes_for_a_point_are_bounded() -> None:
    long = " ".join(f"unheardof{n}" for n in range(5_000))
    plan = Plan()

    assert len(words_of(long)) == MAX_WORDS
    World().through(plan)
    world = World()
    point = DataPoint("dp1", Origin.DROP, long, "short", "2026", "dr1#1")
    world.corpus.add(ACME, point)
    stood = set(world.dynamo.items)
    Index(world.through(plan).table).take(ACME, [point])
    written = world.dynamo.items.keys() - stood
    assert len(written) <= MAX_WORDS + 12 + 1 + 4


def test_nothing_of_another_tenant_is_seen() -> None:
    world = World()
    bring(world, [pair(n) for n in range(5)])

    bring(world, [pair(0)], OTHER)

    assert Index(world.table).assessed(OTHER, [pair(0).id])[pair(0).id].near is None
    assert means(Index(world.table).figures(OTHER)["all"])["count"] == 1


def test_a_point_that_was_deleted_before_the_stream_was_read_is_not_indexed() -> None:
    world, points = World(), [pair(n) for n in range(3)]
    world.corpus.add_counted(ACME, points)
    world.table.transact([Write("delete", ACME.pk(Kind.DATA_POINT, points[0].id), "body")], "delete")

    assert Index(world.table).take(ACME, points) == 2

    assert points[0].id not in repr(world.dynamo.items)
