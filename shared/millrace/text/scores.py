"""Measures of a text, each a float. Pure, linear."""

from __future__ import annotations

import functools
import statistics

import pyphen

from millrace.text.sentences import split
from millrace.text.words import WORD


@functools.cache
def _hyphens() -> pyphen.Pyphen:
    return pyphen.Pyphen(lang="en_US")


@functools.lru_cache(maxsize=50_000)
def syllables(word: str) -> int:
    """Syllables of one English word, at least 1."""
    return len(_hyphens().positions(word.lower())) + 1


def score(text: str) -> dict[str, float]:
    """Every measure by name."""
    words = WORD.findall(text)
    sentences = [s for s in split(text) if WORD.search(s)]
    if not words:
        return dict.fromkeys(
            ("readability", "burstiness", "lexical_diversity", "cliche_density", "ai_likeness", "words", "sentences"),
            0.0,
        )
    per = len(words) / len(sentences)
    flesch = 206.835 - 1.015 * per - 84.6 * sum(map(syllables, words)) / len(words)
    lengths = [len(WORD.findall(s)) for s in sentences]
    spread = statistics.pstdev(lengths) / statistics.mean(lengths) if len(lengths) > 1 else 0.0
    return {
        "readability": round(min(121.0, max(-100.0, flesch)), 2),
        "burstiness": round(spread, 4),
        "lexical_diversity": round(len({w.lower() for w in words}) / len(words), 4),
        "cliche_density": 0.0,
        "ai_likeness": 0.0,
        "words": float(len(words)),
        "sentences": float(len(sentences)),
    }
