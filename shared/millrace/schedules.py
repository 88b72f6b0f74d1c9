"""When something is due again: "every 6 hours", "every 2 days", "daily 03:00", "weekly mon 03:00". Pure; UTC."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from .errors import InvalidInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY = re.compile(r"every (?:(\d{1,3}) )?(hour|day)s?")
_AT = re.compile(r"(daily|weekly (mon|tue|wed|thu|fri|sat|sun)) ([01]\d|2[0-3]):([0-5]\d)")


def check(schedule: str) -> None:
    """InvalidInput for what is no schedule; empty is never."""
    if schedule:
        next_after(schedule, datetime(2026, 1, 1))


def next_after(schedule: str, at: datetime) -> datetime:
    """The first time after `at` that the schedule names."""
    if found := _EVERY.fullmatch(schedule):
        count = int(found[1] or 1)
        if count:
            return at + count * (timedelta(hours=1) if found[2] == "hour" else timedelta(days=1))
    if found := _AT.fullmatch(schedule):
        first = at.replace(hour=int(found[3]), minute=int(found[4]), second=0, microsecond=0)
        days = (DAYS.index(found[2]) - at.weekday()) % 7 if found[2] else 0
        due = first + timedelta(days=days)
        return due if due > at else due + timedelta(days=7 if found[2] else 1)
    raise InvalidInput(
        f"{schedule[:60]!r} is no schedule; write every 6 hours, every 2 days, daily 03:00 or weekly mon 03:00 (UTC)."
    )
