"""The time, handed in everywhere else. RFC 3339 UTC with milliseconds, so that text order is time order."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def stamp(at: datetime | None = None) -> str:
    return (at or now()).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fresh_id(prefix: str) -> str:
    """A random id of 20 hex digits (80 bits) behind a letter or two."""
    return prefix + secrets.token_hex(10)
