"""An archive sent in parts, straight to S3, and gone on with after an interruption. Speaks HTTP alone."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, Unavailable
from .client import Client

AT_ONCE = 4
TRIES = 5
ASKED = 16
"""Addresses that are asked for at a time: they hold for an hour, which so many parts never take."""
TIMEOUT_S = 300.0
_SAMPLE = 1 << 20
OnBytes = Callable[[int], None]


def fingerprint(path: Path) -> str:
    """Of its size and its two ends: another file, or a changed one, does not go on with an upload."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def size_of(path: Path) -> int:
    if not path.is_file():
        raise InvalidInput(f"There is no file {path}.")
    return path.stat().st_size


def begin(client: Client, path: Path, name: str, domain: str) -> dict[str, Any]:
    """The draft that waits for just this file, or a new one; with its upload."""
    about = {"size_bytes": size_of(path), "fingerprint": fingerprint(path)}
    page = client.get("datasets", readiness="draft", search=name, limit=100)
    for draft in page["items"]:
        if draft["uploading"] and draft["name"] == name and draft["domain"] == domain:
            upload = client.get("datasets", draft["id"], "upload")
            if (upload["size_bytes"], upload["fingerprint"]) == (about["size_bytes"], about["fingerprint"]):
                return {**draft, "upload": upload}
    made: dict[str, Any] = client.post("datasets", body={"name": name, "domain": domain, **about})
    return made


def resume(client: Client, path: Path, id: str) -> dict[str, Any]:
    body = {"size_bytes": size_of(path), "fingerprint": fingerprint(path)}
    upload = client.post("datasets", id, "upload", body=body)
    return {**client.get("datasets", id), "upload": upload}


def send(client: Client, path: Path, dataset: dict[str, Any], on_bytes: OnBytes = lambda done: None) -> dict[str, Any]:
    """Every part that is not there yet; then the parts are put together. `on_bytes`: how many more are there."""
    upload = dataset["upload"]
    present = set(upload["present"])
    wanted = [n for n in range(1, upload["parts"] + 1) if n not in present]
    on_bytes(sum(_length(upload, n) for n in present))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(wanted), ASKED):
            body = {"numbers": wanted[start : start + ASKED]}
            parts = client.post("datasets", dataset["id"], "upload", "parts", body=body)["items"]
            for sent in pool.map(lambda part: _send(path, upload, part), parts):
                on_bytes(sent)
    done: dict[str, Any] = client.post("datasets", dataset["id"], "upload", "complete", body={})
    return done


def _length(upload: dict[str, Any], number: int) -> int:
    each = int(upload["part_bytes"])
    return min(each, int(upload["size_bytes"]) - (number - 1) * each)


def _send(path: Path, upload: dict[str, Any], part: dict[str, Any]) -> int:
    with path.open("rb") as file:
        file.seek((part["number"] - 1) * int(upload["part_bytes"]))
        body = file.read(part["size_bytes"])
    if len(body) != part["size_bytes"]:
        raise InvalidInput(f"{path} has become shorter while it was sent.")
    for attempt in range(1, TRIES + 1):
        try:
            _put(part["url"], body)
            return len(body)
        except (OSError, http.client.HTTPException) as error:
            if attempt == TRIES or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                raise Unavailable(
                    f"Part {part['number']} could not be sent: {error}. Ask again; it goes on."
                ) from error
        time.sleep(0.5 * 2**attempt)
    return 0


def _put(url: str, body: bytes) -> None:
    if not url.startswith(("http://", "https://")):
        raise InvalidInput("The API gave an address that is none.")
    request = urllib.request.Request(url, body, {"content-type": ""}, method="PUT")  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        answer.read()
