"""How long a model of somebody else still stands. Pure: rows and a date in.

A provider shuts a model down at some hour of its date; from the beginning of that day (UTC) it is not called.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from .catalogue import Entry

WARN_DAYS = 90
"""How early a shutdown is told: a quarter, time for a golden set on the successor and a change of defaults."""
URGENT_DAYS = 14


@dataclass(frozen=True)
class Countdown:
    id: str
    days: int
    """Left; 0 or less where it is gone."""
    level: str
    """gone, urgent or notice."""
    text: str
    successor: str | None


def days_until_shutdown(entry: Entry, today: date) -> int | None:
    """None where no date is known."""
    return (date.fromisoformat(entry.shutdown) - today).days if entry.shutdown else None


def standing(entry: Entry, today: date) -> bool:
    days = days_until_shutdown(entry, today)
    return days is None or days > 0


def successor_of(entry: Entry, entries: Iterable[Entry], today: date) -> Entry | None:
    """The first of its line that stands; None where the line ends."""
    rows = {row.id: row for row in entries}
    seen = {entry.id}
    while entry.successor and entry.successor in rows and entry.successor not in seen:
        entry = rows[entry.successor]
        seen.add(entry.id)
        if standing(entry, today):
            return entry
    return None


def countdowns(entries: Iterable[Entry], today: date, warn_days: int = WARN_DAYS) -> list[Countdown]:
    """Every model whose end is near or past, the nearest first."""
    found = []
    for entry in entries:
        days = days_until_shutdown(entry, today)
        if days is None or days > warn_days:
            continue
        level = "gone" if days <= 0 else "urgent" if days <= URGENT_DAYS else "notice"
        found.append(Countdown(entry.id, days, level, _sentence(entry, days), entry.successor))
    return sorted(found, key=lambda countdown: countdown.days)


def gone(entry: Entry) -> str:
    """Of a model that is: since when, and what follows it."""
    return f"{entry.id} was shut down on {entry.shutdown}{_then(entry)}."


def _sentence(entry: Entry, days: int) -> str:
    if days <= 0:
        return gone(entry)
    return f"{entry.id} is shut down in {days} {'day' if days == 1 else 'days'}, on {entry.shutdown}{_then(entry)}."


def _then(entry: Entry) -> str:
    return f"; its successor is {entry.successor}" if entry.successor else ""
