"""A rewriter made of rules: always answers, offline, the same words for the same text, settings and seed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from millrace.text.faithfulness import verify

STRENGTHS = ("light", "medium", "strong")
TONES = ("plain", "warm", "formal", "academic")


@dataclass(frozen=True)
class Rewrite:
    """The text and what was changed, in order: (rule id, before, after)."""

    text: str
    changes: tuple[tuple[str, str, str], ...] = ()
    language: str = "en"


_FIRST = (
    ("inflated.utilize", re.compile(r"\butilize\b"), "use"),
    ("inflated.delve", re.compile(r"\bdelve into\b"), "examine"),
)


def rewrite(text: str, strength: str = "medium", tone: str = "plain", seed: int = 0) -> Rewrite:
    """The text rewritten; whatever would break faithfulness stays as it was."""
    changes: list[tuple[str, str, str]] = []
    out = text
    for rule_id, pattern, replacement in _FIRST:
        out, count = pattern.subn(replacement, out)
        changes += [(rule_id, pattern.pattern, replacement)] * count
    if verify(text, out):
        return Rewrite(text)
    return Rewrite(out, tuple(changes))
