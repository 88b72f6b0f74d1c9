"""Google's generateContent through google-genai.

Source: https://ai.google.dev/api/generate-content
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

_BLOCKED = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"}


def chat(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Completion:
    deadline = time.monotonic() + timeout_s
    client = _client(entry, timeout_s, reach)

    def work() -> Completion:
        reply = client.models.generate_content(**_request(entry, talk, left_s(deadline)))
        text, finish = _text(entry, reply)
        if finish is None:
            raise Unavailable(f"{entry.id} answered something that is not a completion.")
        return _completion(entry, talk, text, reply.usage_metadata, finish)

    return border.call(entry, left_s(deadline), work)


def stream(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Iterator[str | Completion]:
    deadline = time.monotonic() + timeout_s
    client = _client(entry, timeout_s, reach)

    def begin() -> Any:
        return client.models.generate_content_stream(**_request(entry, talk, left_s(deadline)))

    return border.flow(entry, left_s(deadline), begin, _Reading(entry, talk))


@dataclass
class _Reading:
    entry: Entry
    talk: Talk
    pieces: list[str] = field(default_factory=list)
    finish: str | None = None
    usage: Any = None

    def take(self, chunk: Any) -> str:
        piece, ended = _text(self.entry, chunk)
        self.finish, self.usage = ended or self.finish, chunk.usage_metadata or self.usage
        self.pieces.append(piece)
        return piece

    def whole(self) -> Completion:
        if self.finish is None:
            raise Unavailable(f"{self.entry.id} broke off in the middle.")
        return _completion(self.entry, self.talk, "".join(self.pieces), self.usage, self.finish)


def health(entry: Entry, timeout_s: float, reach: Reach) -> Health:
    def work() -> str:
        config = {"http_options": {"timeout": max(1, int(timeout_s * 1000))}}
        found = _client(entry, timeout_s, reach).models.get(model=entry.wire_name, config=config)
        return f"{found.name} is there."

    return border.probe(entry, timeout_s, work)


def _client(entry: Entry, timeout_s: float, reach: Reach) -> Any:
    sdk = reach.sdk(entry, "google.genai", timeout_s)

    def build(key: str, url: str, http: Any) -> Any:
        options = sdk.types.HttpOptions(base_url=url, httpx_client=http)
        return sdk.Client(api_key=key, vertexai=False, http_options=options)

    return reach.client("google", entry, build)


def _request(entry: Entry, talk: Talk, timeout_s: float) -> dict[str, Any]:
    may = entry.capabilities
    config: dict[str, Any] = {"http_options": {"timeout": max(1, int(timeout_s * 1000))}}
    if talk.system:
        config["system_instruction"] = talk.system
    if talk.max_tokens:
        config["max_output_tokens"] = talk.max_tokens
    if talk.temperature is not None and may.get("temperature", False):
        config["temperature"] = talk.temperature
    if talk.stop:
        config["stop_sequences"] = list(talk.stop)
    if may.get("thinking"):
        config["thinking_config"] = {"thinking_level": may["thinking"]}
    contents = [
        {"role": "model" if m.role == "assistant" else "user", "parts": [{"text": m.content}]} for m in talk.turns
    ]
    return {"model": entry.wire_name, "contents": contents, "config": config}


def _text(entry: Entry, reply: Any) -> tuple[str, str | None]:
    """Text of the first candidate without its thoughts, and why it ended, if it did."""
    blocked = getattr(reply.prompt_feedback, "block_reason", None)
    candidates = reply.candidates or []
    finish = str(getattr(candidates[0].finish_reason, "value", "") or "") if candidates else ""
    if blocked or finish in _BLOCKED:
        raise Declined(f"{entry.id} declined the text ({finish or 'blocked'}).")
    content = candidates[0].content if candidates else None
    parts = (content.parts or []) if content else []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    return text, finish or None


def _sum(*counts: Any) -> Any:
    """Of those that are told: thoughts that left room for no word stand alone. No number, no sum."""
    told = [count for count in counts if count is not None]
    return sum(told) if told and all(isinstance(count, int) for count in told) else None


def _completion(entry: Entry, talk: Talk, text: str, usage: Any, finish: str) -> Completion:
    written, thought = getattr(usage, "candidates_token_count", None), getattr(usage, "thoughts_token_count", None)
    return counted(
        entry,
        talk,
        text,
        getattr(usage, "prompt_token_count", None),
        _sum(written, thought),
        getattr(usage, "cached_content_token_count", None) or 0,
        "length" if finish == "MAX_TOKENS" else "stop",
        # Google does not say whether its limit holds for thoughts too, so it bounds no count.
        0 if entry.capabilities.get("thinks") else talk.max_tokens,
    )
