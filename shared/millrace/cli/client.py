"""The API over HTTP, with the standard library: a success is its JSON, a problem is an error with its sentence."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from ..errors import MillraceError, Unavailable
from .where import Where

TIMEOUT_S = 35.0
"""A little over the gateway's own 30 s: its answer is better than ours."""


class Refused(MillraceError):
    """The API said no; the sentence is its own. `body` is the problem as it came."""

    def __init__(self, message: str, body: dict[str, Any]) -> None:
        super().__init__(message)
        self.body = body


@dataclass(frozen=True)
class Client:
    where: Where

    def get(self, *path: str, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", _path(path) + (f"?{urlencode(given)}" if given else ""))

    def post(self, *path: str, body: Any, **headers: str) -> Any:
        return self._call("POST", _path(path), body, headers)

    def delete(self, *path: str, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("DELETE", _path(path) + (f"?{urlencode(given)}" if given else ""))

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        sent = {
            "accept": "application/json",
            **{name.replace("_", "-"): text for name, text in (headers or {}).items()},
        }
        if self.where.key:
            sent["x-api-key"] = self.where.key
        content = None
        if body is not None:
            content, sent["content-type"] = json.dumps(body).encode(), "application/json"
        # The address begins with http:// or https://: `where.find` refuses any other.
        request = urllib.request.Request(self.where.api + path, content, sent, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310
                return _json(reply.read())
        except urllib.error.HTTPError as error:
            told = _json(error.read())
            if error.code == 503 and "dependencies" in told:
                return told  # health of a degraded system is an answer
            raise Refused(_sentence(error.code, told), told) from error
        except (OSError, ValueError) as error:
            raise Unavailable(f"The API at {self.where.api} does not answer: {_reason(error)}.") from error


def _path(parts: tuple[str, ...]) -> str:
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return {}


def _sentence(status: int, told: Any) -> str:
    if isinstance(told, dict) and told.get("detail"):
        return str(told["detail"])
    if status in (401, 403):
        return "The API does not know this key; give yours with --key or MILLRACE_KEY."
    message = told.get("message") if isinstance(told, dict) else None
    return f"The API answered with {status}" + (f": {message}." if message else ".")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)
