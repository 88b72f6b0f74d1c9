"""TorchServe's predictions; its management API says whether a model has a ready worker.

`capabilities.management` is the management API's base URL (port 8081 by default there); without it, health asks /ping.
Source: https://pytorch.org/serve/inference_api.html, https://pytorch.org/serve/management_api.html
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

from ..addresses import check_url
from ..catalogue import Entry
from ..errors import InvalidInput, ProviderRefused, Unavailable
from ..text.prompt import user_message
from . import Ask, Completion, Health, Message, Talk, border
from .counting import counted
from .reach import Reach, left_s
from .reach import reach as default_reach
from .rest import fetch, text_in


def complete(entry: Entry, ask: Ask, timeout_s: float, reach: Reach | None = None) -> Completion:
    deadline = time.monotonic() + timeout_s
    reach = reach or default_reach()
    prompt = user_message(ask.text, entry.instruction)

    def work() -> str:
        _, base = reach.http(entry)
        found = fetch(entry, reach, f"{base}/predictions/{_path(entry)}", {"text": prompt})
        if isinstance(found, dict) and isinstance(found.get("code"), int):
            raise border.of_status(entry, int(found["code"]), border.codes_in(found))
        return text_in(entry, found)

    text = border.call(entry, left_s(deadline), work)
    return counted(entry, Talk((Message("user", prompt),)), text, None, None)


def health(entry: Entry, timeout_s: float, reach: Reach) -> Health:
    def work() -> str:
        management = entry.capabilities.get("management")
        if not management:
            _, base = reach.http(entry)
            found = fetch(entry, reach, f"{base}/ping")
            if not (isinstance(found, dict) and found.get("status") == "Healthy"):
                raise Unavailable(f"{entry.id} says that it is not healthy.")
            return f"{entry.id} is Healthy."
        ready = _ready_workers(fetch(entry, reach, f"{_management(entry, reach, management)}/models/{_path(entry)}"))
        if not ready:
            raise Unavailable(f"{entry.id} has no worker that is READY.")
        return f"{entry.id} has {ready} workers READY."

    return border.probe(entry, timeout_s, work)


def _management(entry: Entry, reach: Reach, url: str) -> str:
    """On the same host as the predictions, so that the endpoint's key goes nowhere else."""
    try:
        if check_url(url, reach.allowed).host == check_url(reach.url(entry), reach.allowed).host:
            return url.rstrip("/")
    except InvalidInput as error:
        raise ProviderRefused(f"{entry.id}'s management URL cannot be reached: {error}") from error
    raise ProviderRefused(f"{entry.id}'s management URL lies on another host than its predictions.")


def _ready_workers(found: Any) -> int:
    models = found if isinstance(found, list) else []
    workers = [w for model in models if isinstance(model, dict) for w in model.get("workers") or []]
    return sum(isinstance(w, dict) and w.get("status") == "READY" for w in workers)


def _path(entry: Entry) -> str:
    """`name` or `name/version`."""
    return "/".join(quote(part, safe="") for part in entry.wire_name.split("/", 1))
