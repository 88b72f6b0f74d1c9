"""A small client of the API for the twin's own use: JSON in, JSON out, problems as errors."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 35.0


class Problem(Exception):
    """The API said no; the message is its sentence."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status}: {body.get('detail') or body.get('message') or body}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Api:
    url: str
    key: str

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        return self._call("POST", path, body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, None)

    def _call(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "x-api-key": self.key}
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                told = answer.read()
                return json.loads(told) if told else None  # 204
        except urllib.error.HTTPError as error:
            raise Problem(error.code, _json(error.read())) from error


def _json(raw: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(raw))
    except ValueError:
        return {"detail": raw.decode(errors="replace")[:200]}
