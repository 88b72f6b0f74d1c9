"""Chat completions: OpenAI, Groq, any compatible URL, a GGUF server of ours. Streams through the official client.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..catalogue import Entry
from ..errors import Declined, ProviderRefused, Unavailable
from . import PROVIDERS, Completion, Health, Talk, border
from .counting import counted
from .reach import Reach, left_s


def chat(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Completion:
    """Without the SDK: the wire alone takes a tenth of its 2 ms of CPU, and no 0.7 s of import at a cold start."""

    def work() -> Completion:
        reply = reach.post(entry, "/chat/completions", _request(entry, talk))
        if reply.get("error"):
            raise border.of_status(entry, 0, border.codes_in(reply))  # some proxies answer 200 with an error inside
        choice = reply["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        _raise_declined(entry, finish, message.get("refusal"))
        usage = reply.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens"), details.get("cached_tokens", 0)
        return _completion(entry, talk, message.get("content"), counts, finish)

    return border.call(entry, timeout_s, work)


def stream(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Iterator[str | Completion]:
    deadline = time.monotonic() + timeout_s
    client = _client(entry, timeout_s, reach)

    def begin() -> Any:
        request = _request(entry, talk) | {"stream": True, "stream_options": {"include_usage": True}}
        return client.chat.completions.create(**request, timeout=left_s(deadline))

    return border.flow(entry, left_s(deadline), begin, _Reading(entry, talk))


@dataclass
class _Reading:
    entry: Entry
    talk: Talk
    pieces: list[str] = field(default_factory=list)
    finish: Any = None
    usage: Any = None

    def take(self, chunk: Any) -> str:
        self.usage = getattr(chunk, "usage", None) or self.usage
        if not getattr(chunk, "choices", None):
            _raise_inner(self.entry, chunk)
            return ""
        choice = chunk.choices[0]
        self.finish = choice.finish_reason or self.finish
        self.pieces.append(choice.delta.content or "")
        return self.pieces[-1]

    def whole(self) -> Completion:
        _raise_declined(self.entry, self.finish, None)
        if self.finish is None:
            raise Unavailable(f"{self.entry.id} broke off in the middle.")
        details = getattr(self.usage, "prompt_tokens_details", None)
        counts = (
            getattr(self.usage, "prompt_tokens", None),
            getattr(self.usage, "completion_tokens", None),
            getattr(details, "cached_tokens", 0),
        )
        return _completion(self.entry, self.talk, "".join(self.pieces), counts, self.finish)


def health(entry: Entry, timeout_s: float, reach: Reach) -> Health:
    def work() -> str:
        client = _client(entry, timeout_s, reach)
        names = {model.id for model in client.models.list(timeout=timeout_s).data}
        if PROVIDERS[entry.provider].key and entry.wire_name not in names:
            raise ProviderRefused(f"{entry.provider} has no model {entry.wire_name}.")
        return f"{entry.id} is up, one of {len(names)} models."  # a server of one model may call it anything

    return border.probe(entry, timeout_s, work)


def _client(entry: Entry, timeout_s: float, reach: Reach) -> Any:
    sdk = reach.sdk(entry, "openai", timeout_s)
    return reach.client(
        "openai",
        entry,
        lambda key, url, http: sdk.OpenAI(api_key=key, base_url=url, http_client=http, max_retries=0),
    )


def _request(entry: Entry, talk: Talk) -> dict[str, Any]:
    may = entry.capabilities
    request: dict[str, Any] = {
        "model": entry.wire_name,
        "messages": [{"role": m.role, "content": m.content} for m in talk.messages],
    }
    if talk.max_tokens:
        request[str(may.get("limit", "max_tokens"))] = talk.max_tokens
    if talk.temperature is not None and may.get("temperature", True):
        request["temperature"] = talk.temperature
    if talk.seed is not None and may.get("seed", False):
        request["seed"] = talk.seed
    if talk.stop:
        request["stop"] = list(talk.stop)
    if may.get("effort"):
        request["reasoning_effort"] = may["effort"]
    return request


def _raise_inner(entry: Entry, reply: Any) -> None:
    """Some proxies answer 200 with an error inside."""
    inner = getattr(reply, "error", None)
    if inner:
        raise border.of_status(entry, 0, border.codes_in({"error": inner}))


def _raise_declined(entry: Entry, finish: Any, refusal: Any) -> None:
    if finish == "content_filter" or refusal:
        raise Declined(f"{entry.id} declined the text (content_filter).")


def _completion(entry: Entry, talk: Talk, text: Any, counts: tuple[Any, Any, Any], finish: Any) -> Completion:
    if text is None and finish == "length":
        text = ""  # its thinking took all that it was allowed
    if not isinstance(text, str):
        raise Unavailable(f"{entry.id} answered without a text.")
    return counted(entry, talk, text, *counts, "length" if finish == "length" else "stop", talk.max_tokens)
