"""How much a text asks of whoever rewrites it, and which models are good enough for that. Pure, linear, H5.

part         0 means                       1 means                                    known error
length       one line                      3,000 words and more (log scale)           no spaces: by characters
structure    sentences of 8 words, even    35 words a sentence, or many clauses       abbreviations end sentences
terminology  short everyday words          a third of the words long, rare in form    by form alone, not by a list
risk         nothing that can be broken    25 in 100 words are facts to keep          a year counts as much as a dose
markup       plain prose                   a third of the lines are markdown          an indented poem counts as code

Facts to keep: numbers, dates, citations, links, code, quotes, negations. The score is the weighted mean of the parts,
in [0, 1]; letters lie between 0.1 and 0.2, essays and reports between 0.2 and 0.35, technical text with sources over
0.4. It is judgement made explicit, not fitted to outcomes: the learning router (`bandit`) corrects what it gets wrong
for each model. Of a long text the beginning, the middle and the end are read, 8,000 characters in all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .catalogue import Entry
from .contract import Tier

PARTS = ("length", "structure", "terminology", "risk", "markup")
WEIGHTS: Mapping[str, float] = {"length": 0.25, "structure": 0.2, "terminology": 0.2, "risk": 0.25, "markup": 0.1}
SAMPLE = 8_000
"""Characters that are read at most."""

QUALITY_OF_RANK = (0.6, 0.45, 0.6, 0.72, 0.82, 0.9)
"""Expected share of good rewrites by catalogue rank 0 (unknown) to 5; measured figures take its place."""
FLOORS: Mapping[Tier, tuple[float, float]] = {
    Tier.FREE: (0.0, 0.0),
    Tier.BASIC: (0.55, 0.72),
    Tier.PROFESSIONAL: (0.6, 0.9),
    Tier.ENTERPRISE: (0.72, 0.9),
}
"""Quality that a tier is owed for the simplest and for the hardest text; between them it grows with the score."""

PLAIN, HARD = 0.15, 0.5
"""Scores at and below which a text counts as simplest, at and above which as hardest."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ASCII_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
"""The same in ASCII, in half the time."""
_SENTENCE_END = re.compile(r"[.!?…。！？\n](?:(?<!\n)[.!?…。！？]*[\"'”’)\]]*(?:\s|$)|(?<=\n)\s*\n)")
_CLAUSE = re.compile(r"[,;:—–()]")
_DIGITS = re.compile(r"\d+")
_GLUED = re.compile(r"\d(?:(?<=[^\W_]\d)(?<!\d\d)|(?=[^\W_])(?!\d))")
"""A digit beside what may be a letter."""
_FACT = re.compile(
    r"""[h`\[(“"\d](?:(?<=h)ttps?://\S+ | (?<=`)[^`\n]+` | (?<=\[)\d+(?:[,-]\s?\d+)*\]
    | (?<=\()[A-Z][^()\d]{1,60}\d{4}[a-z]?\) | (?<=[“"])[^”"\n]{2,200}[”"] | (?<=\d)[\d.,:/%-]*)""",
    re.VERBOSE,
)
"""Both begin with one set of characters, for which `re` then looks: twice as fast as an alternative of each."""
_NEGATIONS = frozenset("not no never none nor neither without unless except cannot".split())
_MARKUP = re.compile(r"^(?: {0,3}(?:#{1,6} |[-*+] |\d+[.)] |>|\||```|~~~)|\t| {4}\s*\S)", re.MULTILINE)
LONG_WORD = 10


@dataclass(frozen=True)
class Complexity:
    score: float
    """In [0, 1]."""
    parts: Mapping[str, float]
    """Each of PARTS in [0, 1]."""

    def to_dict(self) -> dict[str, Any]:
        return {"score": self.score, "parts": dict(self.parts)}


def complexity(text: str) -> Complexity:
    """0 throughout for a text without words."""
    sample = _sample(text)
    words = (_ASCII_WORD if sample.isascii() else _WORD).findall(sample)
    if not words:
        return Complexity(0.0, dict.fromkeys(PARTS, 0.0))
    total = len(words) * len(text) / len(sample)
    # A script without spaces has few "words" of many letters; six characters stand for one.
    total = max(total, len(text) / 12)
    parts = {
        "length": _unit(math.log1p(total / 30) / math.log1p(3_000 / 30)),
        "structure": _structure(sample, len(words)),
        "terminology": _terminology(sample, words),
        "risk": _unit(_FACT_SHARE * _facts(sample, words) / len(words)),
        "markup": _unit(3 * len(_MARKUP.findall(sample)) / (1 + sample.count("\n"))),
    }
    parts = {name: round(value, 4) for name, value in parts.items()}
    return Complexity(round(sum(WEIGHTS[name] * parts[name] for name in PARTS), 4), parts)


def quality_of(entry: Entry) -> float:
    """Expected share of good rewrites, in [0, 1]: measured on held-out pairs where it was, else by the row's rank."""
    measured = [entry.metrics[name] for name in ("quality", "content_kept_rate") if name in entry.metrics]
    if measured:
        return _unit(float(measured[0]))
    return QUALITY_OF_RANK[min(max(entry.rank, 0), len(QUALITY_OF_RANK) - 1)]


def quality_floor(complexity: Complexity, tier: Tier) -> float:
    """What this text is owed on this tier. A model below it stands behind those that reach it, not outside."""
    lowest, highest = FLOORS[tier]
    return round(lowest + (highest - lowest) * _unit((complexity.score - PLAIN) / (HARD - PLAIN)), 4)


def fits_quality(entry: Entry, complexity: Complexity, tier: Tier) -> bool:
    return quality_of(entry) >= quality_floor(complexity, tier)


_FACT_SHARE = 4.0
"""One fact in four words is the most that is told apart."""


def _sample(text: str) -> str:
    if len(text) <= SAMPLE:
        return text
    third = SAMPLE // 3
    middle = (len(text) - third) // 2
    return "\n".join((text[:third], text[middle : middle + third], text[-third:]))


def _structure(sample: str, words: int) -> float:
    sentences = max(1, len(_SENTENCE_END.findall(sample.rstrip() + "\n\n")))
    length = (words / sentences - 8) / (35 - 8)
    clauses = len(_CLAUSE.findall(sample)) / sentences / 5
    return _unit(0.7 * max(0.0, min(1.0, length)) + 0.3 * clauses)


def _terminology(sample: str, words: list[str]) -> float:
    odd = sum([len(w) >= LONG_WORD or not (w.islower() or w[1:] == w[1:].lower()) for w in words])
    coded = sum(_coded(sample, *m.span()) for m in _DIGITS.finditer(sample)) if _GLUED.search(sample) else 0
    return _unit(3 * (odd + coded) / len(words))


def _coded(sample: str, start: int, end: int) -> bool:
    """Whether a number is part of a name: B12, 5HT."""
    return sample[start - 1 : start].isalpha() or sample[end : end + 1].isalpha()


def _facts(sample: str, words: list[str]) -> int:
    negated = sum(map(_NEGATIONS.__contains__, map(str.lower, words)))
    return len(_FACT.findall(sample)) + negated + sample.count("n't") + sample.count("n’t")


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
