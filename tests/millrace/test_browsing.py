"""Every filter against a plain comprehension; and what a page costs, however many points there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.browsing import MAX_READ, Browser, Filters, Row, matches
from millrace.corpus import Corpus
from millrace.datapoints import DataPoint, Origin, split_of
from millrace.errors import InvalidInput
from millrace.feedback import Feedback, give
from millrace.indexing import Index
from millrace.table import Table
from millrace.tenants import Kind
from millrace.typed import encode

from tests.fakes import World, examples
from tests.millrace.curated import ACME, OTHER, SUBJECTS, bring, every, pair


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    bring(made, [pair(n, Origin.DROP if n % 3 else Origin.API, f"dr{n % 4}") for n in range(200)])
    for number in range(200, 206):
        answer = pair(number, Origin.ANSWER)
        made.corpus.capture(ACME, answer)
        Index(made.table).take(ACME, [answer])
        give(made.corpus, ACME, Feedback(answer.id, rating=1 + number % 5))
    return made


FILTERS: dict[str, Callable[[Row], bool]] = {
    "min_quality=0.95": lambda row: bool(row.assessed and row.assessed.quality >= 0.95),
    "max_quality=0.95": lambda row: bool(row.assessed and row.assessed.quality <= 0.95),
    "split=test": lambda row: split_of(row.point.source) == "test",
    "origin=api": lambda row: row.point.origin == "api",
    "source=dr2": lambda row: row.point.origin_ref.startswith("dr2#"),
    "since=2026-06-01T00:00:00.000Z": lambda row: row.point.created_at >= "2026-06",
    "until=2026-06-01T00:00:00.000Z": lambda row: row.point.created_at <= "2026-06-01T00:00:00.000Z",
    "search=bakery": lambda row: "bakery" in row.point.source,
    "search=unit17": lambda row: "unit17 " in row.point.source,
    "search=Bakery DAILY unit21": lambda row: "bakery" in row.point.source and "unit21 " in row.point.source,
    "feedback=rated": lambda row: row.state.get("rating") is not None,
    "model=none": lambda row: False,
}


def _filters(*told: str) -> Filters:
    values: dict[str, Any] = dict(one.split("=", 1) for one in told)
    for name in ("min_quality", "max_quality"):
        if name in values:
            values[name] = float(values[name])
    return Filters(**values)


def test_bounds_that_hold_nothing_are_refused_and_one_moment_is_none_of_them() -> None:
    """C3."""
    with pytest.raises(InvalidInput, match="later than until"):
        _filters("since=2026-06-01T00:00:00.001Z", "until=2026-06-01T00:00:00.000Z")
    at = "2026-06-01T00:00:00.000Z"
    assert every(World(), _filters(f"since={at}", f"until={at}")) == []


@pytest.mark.parametrize("told", FILTERS)
def test_a_filter_finds_what_a_comprehension_finds(world: World, told: str) -> None:
    everything = every(world, Filters(), 100)
    wanted = {row.point.id for row in everything if FILTERS[told](row)}

    found = [row.point.id for row in every(world, _filters(told))]

    assert len(everything) == 206
    assert len(found) == len(set(found)) and set(found) == wanted


@examples(60)
@given(st.sets(st.sampled_from(list(FILTERS)), min_size=1, max_size=4), st.integers(1, 60))
def test_filters_together_and_pages_of_any_size(told: set[str], limit: int) -> None:
    names = [one.split("=", 1)[0] for one in told]
    if len(names) != len(set(names)):
        return
    made = _shared()
    wanted = {row.point.id for row in every(made, Filters(), 100) if all(FILTERS[one](row) for one in told)}

    found = [row.point.id for row in every(made, _filters(*told), limit)]

    assert sorted(found) == sorted(wanted)


_WORLDS: list[World] = []


def _shared() -> World:
    if not _WORLDS:
        _WORLDS.append(World())
        bring(_WORLDS[0], [pair(n, Origin.DROP if n % 3 else Origin.API, f"dr{n % 4}") for n in range(60)])
    return _WORLDS[0]


def test_points_are_told_newest_first(world: World) -> None:
    times = [row.point.created_at for row in every(world, Filters(split="train"))]

    assert times == sorted(times, reverse=True)


def test_another_tenant_finds_nothing(world: World) -> None:
    assert every(world, Filters(search="bakery"), tenant=OTHER) == every(world, Filters(), tenant=OTHER) == []


def test_a_search_without_a_word_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match="holds no word"):
        Browser(world.corpus).page(ACME, Filters(search="the . a"), 5, None)


def test_a_row_matches_no_filter_that_it_cannot_answer() -> None:
    row = Row(pair(1), None)

    assert matches(row, Filters()) and not matches(row, Filters(min_quality=0.0))


class Counting:
    """DynamoDB with as many data points as one likes, none of them stored: counts requests, items and bytes."""

    def __init__(self, size: int) -> None:
        self.size, self.requests, self.items = size, 0, 0

    def query(self, *, IndexName: str = "", Limit: int = 100, **arguments: Any) -> Any:
        self.requests += 1
        if not IndexName:
            return self._entries(Limit, arguments)
        start = arguments.get("ExclusiveStartKey")
        first = int(start["list_sk"]["S"].split("#dp")[1]) - 1 if start else self.size - 1
        numbers = range(first, max(-1, first - Limit), -1)
        found = [self._point(number) for number in numbers]
        self.items += len(found)
        more = numbers and numbers[-1] > 0
        last = {name: found[-1][name] for name in ("pk", "sk", "list_pk", "list_sk")} if more else None
        return {"Items": found} | ({"LastEvaluatedKey": last} if last else {})

    def _entries(self, limit: int, arguments: Any) -> Any:
        """Of the word `bakery`, which every tenth point bears: entries of 100 points."""
        before = arguments["ExpressionAttributeValues"].get(":before", {"S": "9"})["S"]
        number = self.size // 10 - 1 if before == "9" else int(before) - 1
        found = []
        while number >= 0 and len(found) < limit:
            ids = [f"dp{number * 1000 % self.size + n * 10 + 1:026}" for n in range(100)]
            found.append(encode({"pk": "acme#word#bakery", "sk": f"{number:09}", "ids": ids}))
            number -= 1
        self.items += len(found)
        return {"Items": found}

    def get_item(self, *, Key: Any, **_: Any) -> Any:
        before = f"{int(Key['sk']['S']) + 1:09}"
        return {"Item": self._entries(1, {"ExpressionAttributeValues": {":before": {"S": before}}})["Items"][0]}

    def batch_get_item(self, *, RequestItems: Any) -> Any:
        self.requests += 1
        ((table, asked),) = RequestItems.items()
        keys = asked["Keys"]
        self.items += len(keys)
        found = [self._point(int(key["pk"]["S"].split("#dp")[1])) for key in keys if key["sk"]["S"] == "body"]
        return {"Responses": {table: found}}

    def _point(self, number: int) -> Any:
        point = DataPoint(
            f"dp{number:026}", Origin.DROP, f"bakery {number}", "target", f"2026#{number:09}"[:4], f"dr1#{number}"
        )
        pk, at = ACME.pk(Kind.DATA_POINT, point.id), f"2026#{point.id}"
        return encode(point.to_dict() | {"pk": pk, "sk": "body", "list_pk": "acme#datapoint", "list_sk": at})


@pytest.mark.parametrize(
    "filters", [Filters(), Filters(model="none"), Filters(search="bakery"), Filters(min_quality=0.9)], ids=str
)
def test_a_page_costs_the_same_at_ten_thousand_and_at_ten_million_points(filters: Filters) -> None:
    def cost(size: int, cursor: str | None = None) -> tuple[int, int, str | None]:
        dynamo: Any = Counting(size)
        corpus = Corpus(Table(dynamo, "table"), World().store)
        _, following = Browser(corpus).page(ACME, filters, 20, cursor)
        return dynamo.requests, dynamo.items, following

    small, large = cost(10_000), cost(1_000_000)
    deep = cost(1_000_000, large[2])
    huge = cost(10_000_000)

    assert small[:2] == large[:2] == huge[:2]
    assert deep[0] <= large[0] + 1 and deep[1] <= large[1] + 100
    assert large[0] <= 30 and large[1] <= 3 * MAX_READ + 100


@pytest.mark.parametrize("limit", [1, 7])
def test_a_point_whose_batch_was_cut_anew_is_found_once(limit: int) -> None:
    world, points = World(), [pair(n) for n in range(4)]
    bring(world, points)
    Index(world.table)._write_words(ACME, points[:3])  # as a batch does that stopped before its points were assessed

    found = [row.point.id for row in every(world, Filters(search=SUBJECTS[0]), limit)]

    assert found == [points[0].id]


def test_subjects_are_many_enough_to_tell_apart() -> None:
    assert len(set(SUBJECTS)) == 10
