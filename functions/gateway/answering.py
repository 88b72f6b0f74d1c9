"""The humanizer of the gateway: under its deadline."""

from __future__ import annotations

from functools import cache

from millrace.books import Books
from millrace.calls import Calls
from millrace.catalogue import Catalogue
from millrace.humanize import Humanizer

from functions import answering, parts
from functions.answering import FRESH_S, obstacle
from functions.gateway.shapes import settings

__all__ = ["books", "calls", "catalogue", "humanizer", "obstacle"]


@cache
def calls() -> Calls:
    return answering.calls(settings)


@cache
def books() -> Books:
    return answering.books(settings, settings.deadline_s)


@cache
def catalogue() -> Catalogue:
    """A new row is seen after FRESH_S, by its name at once."""
    return Catalogue(parts.table(settings), FRESH_S)


@cache
def humanizer() -> Humanizer:
    return answering.humanizer(settings, catalogue(), calls(), books())
