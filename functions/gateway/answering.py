"""The humanizer, put together once per process: the catalogue, breakers that all processes share, and what stands."""

from __future__ import annotations

from functools import cache

from millrace import clock, lifecycle, providers
from millrace.books import Books
from millrace.breakers import Breakers
from millrace.calls import Calls
from millrace.catalogue import Catalogue, Entry
from millrace.errors import MillraceError
from millrace.humanize import Humanizer
from millrace.learning import Learning
from millrace.usage import Usage

from functions import parts
from functions.gateway.shapes import settings
from functions.observability import logger

FRESH_S = 2.0
"""How long a process knows the catalogue without looking again, as the breakers and the budgets."""


@cache
def calls() -> Calls:
    return Calls(Breakers(parts.table(settings)))


def obstacle(entry: Entry) -> str | None:
    """Why a model cannot be called at all just now."""
    if not lifecycle.standing(entry, clock.now().date()):
        return f"{entry.id} was shut down on {entry.shutdown}."
    return providers.obstacle(entry)


@cache
def books() -> Books:
    table = parts.table(settings)
    return Books(Usage(table), Learning(table), settings.deadline_s)


@cache
def catalogue() -> Catalogue:
    """A new row is seen after FRESH_S, by its name at once."""
    return Catalogue(parts.table(settings), FRESH_S)


@cache
def humanizer() -> Humanizer:
    return Humanizer(
        catalogue(),
        parts.corpus(settings),
        settings.deadline_s,
        on_lost_capture=_lost,
        calls=calls(),
        obstacle=obstacle,
        books=books(),
    )


def _lost(error: MillraceError) -> None:
    logger.warning("answer not captured", reason=str(error))
