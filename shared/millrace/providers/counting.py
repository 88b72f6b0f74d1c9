"""Token counts that can be true. Pure.

A count that is missing, negative or no number is estimated; one that is larger than the bytes that went over the
wire could hold is clamped. Both are flagged, so that a bill can be questioned.
"""

from __future__ import annotations

from typing import Any

from ..catalogue import Entry
from . import Completion, Talk

BYTES_PER_TOKEN = 3.6
"""English prose under the tokenizers of 2024 to 2026: 3.4 to 4.4; an estimate is rather high than low."""
SAFETY = 1.3
"""The tokenizers of 2026 count up to 30 % more than is estimated."""
PER_MESSAGE = 16
"""Tokens that a chat template adds."""
_TEMPLATE = 512
"""Tokens that a chat template and a provider's own preamble may add."""
_UNKNOWN_LIMIT = 200_000


def estimate(text: str) -> int:
    """Tokens of a text, before anybody has counted them."""
    return round(len(text.encode()) / BYTES_PER_TOKEN) + 1 if text else 0


def most_read(talk: Talk) -> int:
    """Input tokens of a conversation, rather too many."""
    return round(SAFETY * sum(estimate(m.content) for m in talk.messages)) + PER_MESSAGE * len(talk.messages)


def counted(
    entry: Entry,
    talk: Talk,
    text: str,
    read: Any,
    written: Any,
    cached: Any = 0,
    finish: str = "stop",
    sent_limit: int = 0,
) -> Completion:
    """A completion with counts that can be true. `sent_limit`: the output limit that the request bore."""
    prompt = "".join(message.content for message in talk.messages)
    most_in = len(prompt.encode()) + _TEMPLATE * max(1, len(talk.messages))
    most_out = sent_limit or entry.max_output or max(_UNKNOWN_LIMIT, len(text.encode()))
    flags: set[str] = set()
    input_tokens = _plausible(read, most_in, estimate(prompt), flags)
    output_tokens = _plausible(written, most_out, estimate(text), flags)
    cached_tokens = min(cached, input_tokens) if _is_count(cached) else 0
    return Completion(text, input_tokens, output_tokens, cached_tokens, finish, tuple(sorted(flags)))


def _plausible(count: Any, most: int, estimated: int, flags: set[str]) -> int:
    if not _is_count(count) or (count == 0 and estimated):
        flags.add("usage-estimated")
        return estimated
    if count > most:
        flags.add("usage-clamped")
        return most
    return int(count)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
