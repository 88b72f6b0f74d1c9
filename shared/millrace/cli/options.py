"""What every command takes, and how every command fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec

import typer
from rich.markup import escape

from ..errors import InvalidInput, MillraceError
from . import show
from .client import Client
from .where import find

P = ParamSpec("P")

Api = Annotated[str | None, typer.Option("--api", help="The API's address; else MILLRACE_API, else the local twin.")]
Key = Annotated[str | None, typer.Option("--key", help="API key; else MILLRACE_KEY, else the twin's.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Limit = Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")]


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """An error of ours is its sentence on stderr and exit 1; never a traceback."""

    @wraps(command)
    def said(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MillraceError as error:
            show.err().print(f"[red]{escape(str(error))}[/]")
            raise typer.Exit(1) from error

    return said


def client_of(api: str | None, key: str | None, tenant: str | None = None) -> Client:
    return Client(find(api, key, tenant))


def settings_of(given: list[str] | None) -> dict[str, Any]:
    """Hyperparameters: epochs=3 is a number, name=text a text."""
    return dict(map(_setting, given or []))


def _setting(given: str) -> tuple[str, Any]:
    name, sign, value = given.partition("=")
    if not sign or not name:
        raise InvalidInput(f"A hyperparameter is given as name=value, not {given!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
