"""Who can answer: one small file each behind one Protocol, and the table of them.

A provider imports its SDK when it is first called, has no retries of its own, and maps foreign errors to ours:
Unavailable and Throttled let the next route try.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from ..catalogue import Entry


@dataclass(frozen=True)
class Ask:
    text: str
    strength: str = "medium"
    tone: str = "plain"
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    text: str
    input_tokens: int = 0
    output_tokens: int = 0


class Provider(Protocol):
    def __call__(self, entry: Entry, ask: Ask, timeout_s: float) -> Completion:
        """A rewrite of `ask.text`, not yet verified. Unavailable where there is no answer in time."""


PROVIDERS: dict[str, str] = {
    "rules": "millrace.providers.rules:complete",
    "own": "millrace.providers.own:complete",
}
"""Name in the catalogue -> module:function; adding one is its file, this line and its test."""


def provider(name: str) -> Provider:
    module, _, function = PROVIDERS[name].partition(":")
    found: Callable[..., Completion] = getattr(import_module(module), function)
    return found
