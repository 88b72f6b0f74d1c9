"""Model servers without an SDK: one bounded JSON request, their errors mapped like everybody's."""

from __future__ import annotations

from typing import Any

import orjson

from ..catalogue import Entry
from ..errors import Unavailable
from . import border
from .reach import Reach


def fetch(entry: Entry, reach: Reach, url: str, body: Any = None) -> Any:
    """The reply as JSON, or as text where it is plain text. Called inside `border.call`. POST where there is a body."""
    http, _ = reach.http(entry)
    secret = reach.key(entry)
    headers = {"content-type": "application/json", "accept": "application/json"}
    if secret is not None:
        headers["authorization"] = f"Bearer {secret.reveal()}"
    content = None if body is None else orjson.dumps(body)
    reply = http.request("GET" if body is None else "POST", url, content=content, headers=headers)
    if reply.status_code == 200:
        return _parsed(entry, reply.content, reply.headers.get("content-type", ""))
    wait = border.retry_after_s(None, reply.headers.get("retry-after"))
    raise border.of_status(entry, reply.status_code, _codes(reply.content), wait)


def text_in(entry: Entry, found: Any) -> str:
    """The one text in what a model server answered: itself, or under text, generated_text, output or 0."""
    for _ in range(4):
        if isinstance(found, str) and found.strip():
            return found.strip()
        if isinstance(found, list) and found:
            found = found[0]
        elif isinstance(found, dict):
            found = next((found[k] for k in ("text", "generated_text", "output", "outputs") if k in found), None)
    raise Unavailable(f"{entry.id} answered without a text.")


def _codes(content: bytes) -> set[str]:
    try:
        return border.codes_in(orjson.loads(content))
    except orjson.JSONDecodeError:
        return set()


def _parsed(entry: Entry, content: bytes, kind: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        if "html" not in kind:
            return content.decode()
    except UnicodeDecodeError:
        pass
    raise Unavailable(f"{entry.id} answered something that is neither JSON nor text.")
