"""Each thing that people say becomes what training needs, once, and the figures tell it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.datapoints import Origin
from millrace.errors import InvalidInput
from millrace.feedback import FIGURES, SCALE, Feedback, edit_cost, give, kinds
from millrace.indexing import Index
from millrace.tenants import Kind

from tests.fakes import World, examples
from tests.millrace.curated import ACME, pair


def _answered(world: World, number: int = 1) -> str:
    answer = replace(pair(number, Origin.ANSWER), id=f"dpanswer{number}")
    world.corpus.capture(ACME, answer)
    return answer.id


def _figures(world: World) -> dict[str, int]:
    told = Index(world.table).figures(ACME).get(FIGURES, {})
    return {name: value for name, value in told.items() if isinstance(value, int) and value}


def test_an_accepted_answer_is_an_example_as_it_is() -> None:
    world = World()
    id = _answered(world)

    (point,) = give(world.corpus, ACME, Feedback(id, thumbs="up")).points

    assert (point.origin, point.target, point.rejected) == (Origin.ACCEPTED, pair(1).target, None)
    assert world.corpus.counts(ACME).usable == 1
    assert _figures(world) == {"accepted": 1, "up": 1}


def test_an_edit_is_preferred_over_the_answer_and_tells_what_it_cost() -> None:
    world = World()
    id = _answered(world)

    learned = give(world.corpus, ACME, Feedback(id, "The bakery uses unit1 and crate7 nightly."))

    (point,) = learned.points
    assert (point.origin, point.rejected) == (Origin.EDIT, pair(1).target)
    assert learned.edit_cost == pytest.approx(1 / 7, abs=1e-3)
    assert _figures(world) == {"edited": 1, "edit_cost": round((learned.edit_cost or 0) * SCALE)}


def test_a_rejected_answer_is_a_negative_and_no_usable_pair() -> None:
    world = World()
    id = _answered(world)

    (point,) = give(world.corpus, ACME, Feedback(id, rejected=True, reason="Too stiff.")).points

    assert (point.origin, point.target) == (Origin.NEGATIVE, pair(1).target)
    assert world.corpus.counts(ACME).usable == 0
    state = world.table.get(ACME.pk(Kind.DATA_POINT, id), "state") or {}
    assert (kinds(state), state["rejected_for"]) == (["rejected"], "Too stiff.")


@examples(40)
@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 5, None]), st.sampled_from(["down", None])), max_size=8))
def test_figures_are_those_of_the_last_rating_of_each_answer(said: list[tuple[int | None, str | None]]) -> None:
    world = World()
    id = _answered(world)
    for rating, thumbs in said:
        if rating or thumbs:
            give(world.corpus, ACME, Feedback(id, rating=rating, thumbs=thumbs))  # type: ignore[arg-type]

    last = next((rating for rating, _ in reversed(said) if rating), None)
    figures = _figures(world)
    assert figures.get("rated", 0) == int(last is not None)
    assert figures.get("rating", 0) == (last or 0)
    assert figures.get("down", 0) == int(any(thumbs for _, thumbs in said))


def test_many_who_rate_at_once_leave_one_rating() -> None:
    world = World()
    id = _answered(world)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda n: give(world.corpus, ACME, Feedback(id, rating=n)), range(1, 6)))

    state = world.table.get(ACME.pk(Kind.DATA_POINT, id), "state") or {}
    assert _figures(world) == {"rated": 1, "rating": state["rating"]}


@pytest.mark.parametrize(
    ("feedback", "says"),
    [
        (Feedback("d"), "holds an edited_text, a rating"),
        (Feedback("d", thumbs="up", rejected=True), "cannot be rejected and have thumbs up"),
        (Feedback("d", rating=1, reason="x" * 501), "at most 500"),
    ],
)
def test_feedback_that_contradicts_itself_is_refused(feedback: Feedback, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        give(World().corpus, ACME, feedback)


def test_what_an_edit_costs() -> None:
    assert edit_cost("a b c d", "a b c d") == 0
    assert edit_cost("a b c d", "a x c d") == 0.25
    assert edit_cost("", "a b") == 1
