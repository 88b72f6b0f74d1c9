"""When something is due again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.errors import InvalidInput
from millrace.schedules import DAYS, check, next_after

AT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("every hour", datetime(2026, 11, 20, 11, 30, tzinfo=UTC)),
        ("every 6 hours", datetime(2026, 11, 20, 16, 30, tzinfo=UTC)),
        ("every 2 days", datetime(2026, 11, 22, 10, 30, tzinfo=UTC)),
        ("daily 03:00", datetime(2026, 11, 21, 3, 0, tzinfo=UTC)),
        ("daily 10:31", datetime(2026, 11, 20, 10, 31, tzinfo=UTC)),
        ("daily 10:30", datetime(2026, 11, 21, 10, 30, tzinfo=UTC)),
        ("weekly fri 10:30", datetime(2026, 11, 27, 10, 30, tzinfo=UTC)),
        ("weekly mon 03:00", datetime(2026, 11, 23, 3, 0, tzinfo=UTC)),
    ],
)
def test_the_next_time(schedule: str, due: datetime) -> None:
    assert next_after(schedule, AT) == due


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)), st.sampled_from(DAYS), st.integers(0, 23))
def test_a_weekly_time_is_on_its_day_and_at_most_a_week_away(at: datetime, day: str, hour: int) -> None:
    due = next_after(f"weekly {day} {hour:02}:15", at)

    assert timedelta() < due - at <= timedelta(days=7)
    assert (due.weekday(), due.hour, due.minute) == (DAYS.index(day), hour, 15)


@pytest.mark.parametrize(
    "wrong", ["every 0 hours", "every 1000 days", "hourly", "daily 24:00", "weekly xyz 03:00", " "]
)
def test_what_is_no_schedule_is_refused_with_what_is(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="write every 6 hours"):
        check(wrong)


def test_never_is_a_schedule() -> None:
    check("")
