"""The rule-based rewriter as a provider: always there, free, offline."""

from __future__ import annotations

from ..catalogue import Entry
from ..text.rules import rewrite
from . import Ask, Completion


def complete(entry: Entry, ask: Ask, timeout_s: float) -> Completion:
    return Completion(rewrite(ask.text, ask.strength, ask.tone, ask.seed).text)
