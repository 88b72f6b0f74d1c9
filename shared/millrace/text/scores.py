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
from typing import NamedTuple

import pyphen

from millrace.text.blocks import blocks
from millrace.text.engine import Kit, make_kit, phrase_edits
from millrace.text.ruledata import rules
from millrace.text.sentences import split
from millrace.text.words import beyond_ascii, word_list

WINDOW = 50
MEASURES = (
    "readability", "burstiness", "lexical_diversity", "cliche_density", "words", "sentences", "ai_likeness",
)  # fmt: skip
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
_TRIPLE = re.compile(r",(?<=\w,) (?:(?:\w+ ){1,3}?(?:\w+, )?and \w+|\w+(?: \w+)?, and \w+)")
"""From the comma on, which few words have: three times as fast as from the word before it."""
_DASHES = ("—", " – ", " -- ")
_SPEAKERS = frozenset("I me my you we he she him her".split())
_SHORT = re.compile(r"['’](?<=[^\W\d].)(?:s|t|re|ve|d|ll|m)\b")
_DIGIT = re.compile(r"\d")
_NO_DIGITS = bytes({*range(256)} - {*b"0123456789"})


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
    counted = _counted(text)
    if not counted.words:
        return dict.fromkeys(MEASURES, 0.0)
    found = cliches(text)
    measures = _measures(counted, found)
    measures["ai_likeness"] = _likeness(_habits(counted, text, found, measures["burstiness"]))
    return {name: round(value, 4) for name, value in measures.items()}


class _Counted(NamedTuple):
    """What all measures count: the sentences that hold a word, how many words each has, all of these, and the syllables
    of each.
    """

    sentences: list[str]
    lengths: list[int]
    words: list[str]
    syllables: list[int]


def _counted(text: str) -> _Counted:
    held = [(sentence, words) for sentence in split(text) if (words := word_list(sentence))]
    words = [word for _, some in held for word in some]
    sentences, lengths = [sentence for sentence, _ in held], [len(some) for _, some in held]
    return _Counted(sentences, lengths, words, [*map(syllables, words)])


def _measures(counted: _Counted, found: int) -> dict[str, float]:
    words, count = len(counted.words), len(counted.sentences)
    per_sentence, per_word = words / count, sum(counted.syllables) / words
    return {
        "readability": min(121.0, max(-100.0, 206.835 - 1.015 * per_sentence - 84.6 * per_word)),
        "burstiness": _burstiness(counted.lengths),
        "lexical_diversity": _diversity(list(map(str.lower, counted.words))),
        "cliche_density": 100 * found / words,
        "words": float(words),
        "sentences": float(count),
    }


def _burstiness(lengths: list[int]) -> float:
    mean = sum(lengths) / len(lengths)
    # Not statistics.pstdev, whose exact fractions take as long as all else that is counted here.
    return math.sqrt(sum((n - mean) ** 2 for n in lengths) / len(lengths)) / mean if mean else 0.0


def _diversity(words: list[str]) -> float:
    """Mean type/token ratio of all windows of WINDOW words, in one pass."""
    last = {word: n for n, word in enumerate(words[:WINDOW])}  # where each stood last
    types = len(last)
    if len(words) < WINDOW:
        return types / len(words)
    ratios = types / WINDOW
    for n, (gone, come) in enumerate(zip(words, words[WINDOW:], strict=False)):
        types += (last.get(come, -1) <= n) - (last[gone] == n)
        last[come] = n + WINDOW
        ratios += types / WINDOW
    return ratios / (len(words) - WINDOW + 1)


@functools.cache
def _cliche_kit() -> Kit:
    return make_kit(tuple(r for r in rules() if r.family in CLICHE_FAMILIES and r.id not in _ORDINARY))


def cliches(text: str) -> int:
    """How many phrases the rules would touch, each place once; code, quotations and headings not counted."""
    kit, count = _cliche_kit(), 0
    for block in blocks(text):
        if block.prose:
            count += len(phrase_edits(block, kit, 0))
    return count


def habits(text: str) -> tuple[float, ...]:
    """The seven habits, each scaled to about 0 to 2, in the order of HABITS."""
    counted = _counted(text)
    if not counted.words:
        return (0.0,) * len(HABITS)
    return _habits(counted, text, cliches(text), _burstiness(counted.lengths))


def _habits(counted: _Counted, text: str, found: int, uneven: float) -> tuple[float, ...]:
    n, count = len(counted.words), len(counted.sentences)
    return (
        min(3.0, 100 * found / n / 5),
        5 * sum(_LINK.match(s.lstrip()) is not None for s in counted.sentences) / count,
        4 * _triples(text) / count,
        min(3.0, 5 * sum(map(text.count, _DASHES)) / count),
        5 * sum(number > 2 for number in counted.syllables) / n,
        1 - min(1.0, uneven),
        min(3.0, 10 * _voice(counted.words, text) / n),
    )


def _triples(text: str) -> int:
    """Lists of three, none of which begins with the last word of another."""
    count = at = 0
    last = -1
    while match := _TRIPLE.search(text, at):
        if match.start() == last:
            at = last + 1
        else:
            count, at = count + 1, match.end()
            last = at
    return count


def _voice(words: list[str], text: str) -> int:
    """Signs of a person who speaks: pronouns, contractions, questions, asides, figures; one for each word."""
    count = text.count("?") + text.count("(") + sum(map(_SPEAKERS.__contains__, words))
    count += len(text.encode("ascii", "ignore").translate(None, _NO_DIGITS))
    if not text.isascii():
        count += len(_DIGIT.findall(beyond_ascii(text)))
    if "'" in text or "’" in text:
        count += len(_SHORT.findall(text))
    return count


def _likeness(found: tuple[float, ...]) -> float:
    return 1 / (1 + math.exp(-BIAS - sum(w * x for w, x in zip(WEIGHTS, found, strict=True))))
