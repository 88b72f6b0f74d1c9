"""The humanizer, put together: the catalogue, breakers that all processes share, budgets, and what stands.

Each function keeps its own, once per process.
"""

from __future__ import annotations

import time

from millrace import clock, lifecycle, providers
from millrace.books import Books
from millrace.breakers import Breakers
from millrace.calls import Calls
from millrace.catalogue import Catalogue, Entry
from millrace.errors import MillraceError
from millrace.humanize import Humanizer
from millrace.learning import Learning
from millrace.settings import Storage
from millrace.usage import Usage

from functions import parts
from functions.observability import logger


def calls(settings: Storage) -> Calls:
    return Calls(Breakers(parts.table(settings)))


FRESH_S = 2.0
"""How long a process knows what stands without looking again: the catalogue, the breakers, the budgets, the keys."""
MOST_SEEN = 10_000
_seen: dict[str, tuple[Entry, float, str | None]] = {}


def obstacle(entry: Entry) -> str | None:
    """Why a model cannot be called at all, as of at most FRESH_S ago."""
    known, until, why = _seen.get(entry.id, (None, 0.0, None))
    now = time.monotonic()
    if known is entry and now < until:
        return why
    why = _obstacle(entry)
    if len(_seen) >= MOST_SEEN:
        _seen.clear()
    _seen[entry.id] = (entry, now + FRESH_S, why)
    return why


def _obstacle(entry: Entry) -> str | None:
    if not lifecycle.standing(entry, clock.now().date()):
        return lifecycle.gone(entry)
    return providers.obstacle(entry)


def books(settings: Storage, deadline_s: float) -> Books:
    table = parts.table(settings)
    return Books(Usage(table), Learning(table), deadline_s)


def humanizer(settings: Storage, catalogue: Catalogue, calls: Calls, books: Books, parallel: int = 4) -> Humanizer:
    return Humanizer(
        catalogue,
        parts.corpus(settings),
        books.deadline_s,
        on_lost_capture=_lost,
        calls=calls,
        obstacle=obstacle,
        parallel=parallel,
        books=books,
    )


def _lost(error: MillraceError) -> None:
    logger.warning("answer not captured", reason=str(error))
