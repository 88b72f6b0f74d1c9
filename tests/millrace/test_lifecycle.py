from __future__ import annotations

from datetime import date, timedelta

import pytest
from millrace.catalogue import Entry
from millrace.lifecycle import countdowns, days_until_shutdown, standing, successor_of

END = date(2027, 1, 14)
ROW = Entry("m", "openai", shutdown=END.isoformat(), successor="n")


@pytest.mark.parametrize(
    ("days", "level"),
    [(91, None), (90, "notice"), (15, "notice"), (14, "urgent"), (1, "urgent"), (0, "gone"), (-9, "gone")],
)
def test_a_warning_grows_with_the_days(days: int, level: str | None) -> None:
    today = END - timedelta(days=days)

    assert days_until_shutdown(ROW, today) == days
    assert [c.level for c in countdowns([ROW], today)] == ([level] if level else [])
    assert standing(ROW, today) is (days > 0)


def test_a_model_without_a_date_stands_and_is_never_warned_of() -> None:
    assert standing(Entry("x", "openai"), END) and countdowns([Entry("x", "openai")], END) == []


def test_a_successor_is_the_first_of_the_line_that_stands() -> None:
    rows = [ROW, Entry("n", "openai", shutdown="2026-12-01", successor="o"), Entry("o", "openai")]

    assert successor_of(ROW, rows, END) == rows[2]
    assert successor_of(ROW, rows[:2], END) is None
    circle = [Entry("a", "openai", shutdown="2026-01-01", successor="a")]
    assert successor_of(circle[0], circle, END) is None
