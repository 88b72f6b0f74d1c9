"""Measures of a text, each a float. Pure, linear; H10. They describe; they prove nothing about who wrote a text.

name               range          what it is                                          known error
readability        -100 .. 121    Flesch reading ease (Flesch 1948), higher = easier  syllables by rule: +-6 points
burstiness         0 .. ~2        deviation of sentence length over its mean          noise under 8 sentences
lexical_diversity  0 .. 1         mean type/token ratio of windows of 50 words        short texts score higher
                                  (moving average, Covington and McFall 2010)
cliche_density     0 .. ~40       phrases of the rules per 100 words                  fair uses count too
ai_likeness        0 .. 1         logistic of seven habits of style, WEIGHTS          see below
words, sentences   0 ..           counts (sentencex)

ai_likeness is fitted on 38 texts written for this repository, 22 in a chat model's manner, 16 in a person's. Left out
one at a time, 0 of 16 personal texts score over 0.5 (false positives; with 16 texts the 95 % bound is 17 %) and 0 of 22
machine-like ones under it. One hand wrote both kinds and the rules, so this is the best case. On 8 passages of formal
prose from 1776 to 1920, never fitted, 0 score over 0.5. Brochures and reports by people score higher than letters do:
expect more false positives there. It is an editor's gauge, not a detector; no decision about a person may rest on it.

From token probabilities there are scores where a model of one's own is deployed, and only when it is asked,
`POST /api/models/{id}/score`: mean_logprob (nats, at most 0; rare subjects lower it too), surprise_burstiness (0 .. ~3;
noise under 100 tokens) and token_likeness (0 .. 1: the share of that model's own texts that would be less likely than
this one, after Fast-DetectGPT, arXiv 2310.05130). The last knows that one model alone: a text by another may look like
a person's, and one that the model was trained on does not. Nothing in it is fitted, and its error was not measured.
"""

from __future__ import annotations

import functools
import math
import re

import pyphen

from millrace.text.blocks import blocks
from millrace.text.engine import Kit, make_kit, phrase_edits
from millrace.text.ruledata import rules
from millrace.text.scene import look
from millrace.text.sentences import split
from millrace.text.words import WORD

WINDOW = 50
CLICHE_FAMILIES = frozenset(
    "openers closers inflated cliches hedges intensifiers wordy nominalisations contrasts".split()
)
_ORDINARY = frozenset({"inflated.purchase", "inflated.assist", "inflated.obtain", "inflated.approximately"})
HABITS = ("cliches", "links", "triples", "dashes", "long_words", "evenness", "voice")
WEIGHTS = (1.3, 0.41, 0.15, 0.17, 0.53, 0.14, -0.21)
BIAS = -1.83
"""Ridge logistic regression on the samples of tests/millrace/text/samples.py; `test_scores` fits them again."""

_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"(?<=[^aeiouyl])e(?:s|d)?$|(?<=[aeiouy]l)es?$|(?<=[^td])ed$|'.*$")
_LINK = re.compile(
    r"(?:moreover|furthermore|additionally|however|ultimately|overall|in conclusion|in summary|consequently|therefore|"
    r"notably|importantly|in addition|as a result|for instance)\b",
    re.IGNORECASE,
)
_TRIPLE = re.compile(r"\b\w+, (?:\w+ ){1,3}?(?:\w+, )?and \w+|\b\w+, \w+(?: \w+)?, and \w+")
_DASH = re.compile(r"—| – | -- ")
_VOICE = re.compile(r"\b(?:I|me|my|you|we|he|she|him|her)\b|\w['’](?:s|t|re|ve|d|ll|m)\b|\?|\(|\d")


@functools.cache
def _hyphens() -> pyphen.Pyphen:
    return pyphen.Pyphen(lang="en_US")


@functools.lru_cache(maxsize=50_000)
def syllables(word: str) -> int:
    """Syllables of one English word, at least 1: the larger of its break points + 1 and its sounded vowel groups."""
    low = word[:40].lower()
    groups = len(_VOWELS.findall(_SILENT.sub("", low)))
    return max(1, groups, len(_hyphens().positions(low)) + 1)


def score(text: str) -> dict[str, float]:
    """Every measure by name; all 0 for a text without words."""
    words = WORD.findall(text)
    sentences = [s for s in split(text) if WORD.search(s)]
    if not words or not sentences:
        return dict.fromkeys((*_measures([""], [""], 0), "ai_likeness"), 0.0)
    found = cliches(text)
    measures = _measures(words, sentences, found)
    measures["ai_likeness"] = _likeness(_habits(words, sentences, text, found, measures["burstiness"]))
    return {name: round(value, 4) for name, value in measures.items()}


def _measures(words: list[str], sentences: list[str], found: int) -> dict[str, float]:
    per_sentence = len(words) / len(sentences)
    per_word = sum(map(syllables, words)) / len(words)
    return {
        "readability": min(121.0, max(-100.0, 206.835 - 1.015 * per_sentence - 84.6 * per_word)),
        "burstiness": _burstiness(sentences),
        "lexical_diversity": _diversity([word.lower() for word in words]),
        "cliche_density": 100 * found / len(words),
        "words": float(len(words)),
        "sentences": float(len(sentences)),
    }


def _burstiness(sentences: list[str]) -> float:
    lengths = [len(WORD.findall(sentence)) for sentence in sentences]
    mean = sum(lengths) / len(lengths)
    # Not statistics.pstdev, whose exact fractions take as long as all else that is counted here.
    return math.sqrt(sum((n - mean) ** 2 for n in lengths) / len(lengths)) / mean if mean else 0.0


def _diversity(words: list[str]) -> float:
    """Mean type/token ratio of all windows of WINDOW words, in one pass."""
    counts: dict[str, int] = {}
    ratios = 0.0
    for i, word in enumerate(words):
        counts[word] = counts.get(word, 0) + 1
        if i >= WINDOW:
            gone = words[i - WINDOW]
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
        if i >= WINDOW - 1:
            ratios += len(counts) / WINDOW
    return ratios / (len(words) - WINDOW + 1) if len(words) >= WINDOW else len(counts) / len(words)


@functools.cache
def _cliche_kit() -> Kit:
    return make_kit(tuple(r for r in rules() if r.family in CLICHE_FAMILIES and r.id not in _ORDINARY))


def cliches(text: str) -> int:
    """How many phrases the rules would touch, each place once; code, quotations and headings not counted."""
    count = 0
    for block in blocks(text):
        if block.prose:
            count += len(phrase_edits(look(block.text, block), _cliche_kit(), 0))
    return count


def habits(text: str) -> tuple[float, ...]:
    """The seven habits, each scaled to about 0 to 2, in the order of HABITS."""
    words = WORD.findall(text)
    sentences = [s for s in split(text) if WORD.search(s)]
    if not words or not sentences:
        return (0.0,) * len(HABITS)
    return _habits(words, sentences, text, cliches(text), _burstiness(sentences))


def _habits(words: list[str], sentences: list[str], text: str, found: int, uneven: float) -> tuple[float, ...]:
    n, count = len(words), len(sentences)
    return (
        min(3.0, 100 * found / n / 5),
        5 * sum(bool(_LINK.match(s.lstrip())) for s in sentences) / count,
        4 * len(_TRIPLE.findall(text)) / count,
        min(3.0, 5 * len(_DASH.findall(text)) / count),
        5 * sum(syllables(w) > 2 for w in words) / n,
        1 - min(1.0, uneven),
        min(3.0, 10 * len(_VOICE.findall(text)) / n),
    )


def _likeness(found: tuple[float, ...]) -> float:
    return 1 / (1 + math.exp(-BIAS - sum(w * x for w, x in zip(WEIGHTS, found, strict=True))))
