"""TensorFlow Serving's REST predict. The model takes a string, or what its row's `signature` says, and gives one.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import quote

from ..catalogue import Entry
from ..errors import Unavailable
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
    body: dict[str, Any] = {"instances": [prompt]}
    if entry.capabilities.get("signature"):
        body["signature_name"] = entry.capabilities["signature"]

    def work() -> str:
        found = fetch(entry, reach, f"{_model_url(entry, reach)}:predict", body)
        if not isinstance(found, dict) or not ("predictions" in found or "outputs" in found):
            raise Unavailable(f"{entry.id} answered something that is not a prediction.")
        return text_in(entry, _plain(found.get("predictions", found.get("outputs"))))

    text = border.call(entry, left_s(deadline), work)
    return counted(entry, Talk((Message("user", prompt),)), text, None, None)


def health(entry: Entry, timeout_s: float, reach: Reach) -> Health:
    def work() -> str:
        found = fetch(entry, reach, _model_url(entry, reach))
        versions = found.get("model_version_status", []) if isinstance(found, dict) else []
        states = [str(v.get("state")) for v in versions if isinstance(v, dict)]
        if "AVAILABLE" not in states:
            raise Unavailable(f"{entry.id} has no version that is AVAILABLE, but {', '.join(states) or 'none'}.")
        return f"{entry.id} is AVAILABLE."

    return border.probe(entry, timeout_s, work)


def _model_url(entry: Entry, reach: Reach) -> str:
    _, base = reach.http(entry)
    name, _, version = entry.wire_name.partition("/")
    path = f"/v1/models/{quote(name, safe='')}"
    return f"{base}{path}/versions/{quote(version, safe='')}" if version else f"{base}{path}"


def _plain(value: Any) -> Any:
    """Strings come as bytes in base64 where the output's name ends in _bytes."""
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True).decode()
        except (ValueError, TypeError):
            return None
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
