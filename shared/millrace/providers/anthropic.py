"""Anthropic's messages through the official client. No temperature: the models since 4.6 take none.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..catalogue import Entry
from ..errors import Declined, Unavailable
from . import Completion, Health, Talk, border
from .counting import counted
from .reach import Reach, left_s

_LIMIT = 4096
"""max_tokens is mandatory; this where the caller named none."""


def chat(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Completion:
    deadline = time.monotonic() + timeout_s
    client = _client(entry, timeout_s, reach)

    def work() -> Completion:
        reply = client.messages.create(**_request(entry, talk), timeout=left_s(deadline))
        if getattr(reply, "error", None):
            raise border.of_status(entry, 0, border.codes_in({"error": reply.error}))
        if not isinstance(reply.content, list):
            raise Unavailable(f"{entry.id} answered without a text.")
        text = "".join(block.text for block in reply.content if block.type == "text")
        return _completion(entry, talk, text, reply.usage, reply.stop_reason)

    return border.call(entry, left_s(deadline), work)


def stream(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Iterator[str | Completion]:
    deadline = time.monotonic() + timeout_s
    client = _client(entry, timeout_s, reach)

    def begin() -> Any:
        return client.messages.create(**_request(entry, talk), stream=True, timeout=left_s(deadline))

    return border.flow(entry, left_s(deadline), begin, _Reading(entry, talk))


@dataclass
class _Reading:
    entry: Entry
    talk: Talk
    pieces: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    finish: Any = None
    ended: bool = False

    def take(self, event: Any) -> str:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            self.pieces.append(event.delta.text)
            return self.pieces[-1]
        if event.type == "message_start":
            self.usage |= _counts(event.message.usage)
        elif event.type == "message_delta":
            self.finish = event.delta.stop_reason or self.finish
            self.usage |= _counts(event.usage)
        elif event.type == "message_stop":
            self.ended = True
        return ""

    def whole(self) -> Completion:
        if not self.ended:
            raise Unavailable(f"{self.entry.id} broke off in the middle.")
        return _completion(self.entry, self.talk, "".join(self.pieces), self.usage, self.finish)


def health(entry: Entry, timeout_s: float, reach: Reach) -> Health:
    def work() -> str:
        found = _client(entry, timeout_s, reach).models.retrieve(entry.wire_name, timeout=timeout_s)
        return f"{found.id} is there."

    return border.probe(entry, timeout_s, work)


def _client(entry: Entry, timeout_s: float, reach: Reach) -> Any:
    sdk = reach.sdk(entry, "anthropic", timeout_s)
    return reach.client(
        "anthropic",
        entry,
        lambda key, url, http: sdk.Anthropic(api_key=key, base_url=url, http_client=http, max_retries=0),
    )


def _request(entry: Entry, talk: Talk) -> dict[str, Any]:
    may = entry.capabilities
    request: dict[str, Any] = {
        "model": entry.wire_name,
        "max_tokens": talk.max_tokens or _LIMIT,
        "messages": [{"role": m.role, "content": m.content} for m in talk.turns],
    }
    if talk.system:
        request["system"] = talk.system
    if talk.stop:
        request["stop_sequences"] = list(talk.stop)
    if may.get("thinking"):
        request["thinking"] = {"type": may["thinking"]}
    if may.get("effort"):
        request["output_config"] = {"effort": may["effort"]}
    return request


def _counts(usage: Any) -> dict[str, Any]:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return {name: value for name in names if (value := getattr(usage, name, None)) is not None}


def _completion(entry: Entry, talk: Talk, text: str, usage: Any, finish: Any) -> Completion:
    if finish == "refusal":
        raise Declined(f"{entry.id} declined the text (refusal).")
    counts = usage if isinstance(usage, dict) else _counts(usage)
    cached = counts.get("cache_read_input_tokens", 0)
    return counted(
        entry,
        talk,
        text,
        _sum(counts.get("input_tokens"), cached, counts.get("cache_creation_input_tokens", 0)),
        counts.get("output_tokens"),
        cached,
        "length" if finish in ("max_tokens", "model_context_window_exceeded") else "stop",
        talk.max_tokens or _LIMIT,
    )


def _sum(*parts: Any) -> Any:
    """Anthropic counts cached tokens apart. No number, no sum."""
    return sum(parts) if all(isinstance(part, int) for part in parts) else None
