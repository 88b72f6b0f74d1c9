"""Where in a list of the table a page ended, as text; `cursors` signs it before a caller sees it. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidInput

_CURSOR = ("pk", "sk", "list_pk", "list_sk")
FOREIGN = "That cursor is not one of this list; begin again without it."


def cursor_at(item: Mapping[str, Any]) -> str:
    """The cursor of a list's page that begins after this item of it."""
    key = {name: item[name] for name in _CURSOR}
    return base64.urlsafe_b64encode(json.dumps(key, sort_keys=True).encode()).decode().rstrip("=")


def opened_cursor(cursor: str, list_pk: str) -> dict[str, Any]:
    """A cursor moves within its own list and nowhere else."""
    try:
        key: dict[str, Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        good = set(key) == set(_CURSOR) and all(isinstance(v, str) and v for v in key.values())
    except (ValueError, TypeError, AttributeError, RecursionError):
        good = False
    if not good or key["list_pk"] != list_pk or not key["pk"].startswith(f"{list_pk.partition('#')[0]}#"):
        raise InvalidInput(FOREIGN)
    try:
        json.dumps(key, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(FOREIGN) from error
    return key
