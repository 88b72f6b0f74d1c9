"""British and American spellings, for a text that mixes them. Pure, linear."""

from __future__ import annotations

import functools

import ahocorasick_rs

from millrace.text.edits import Edit
from millrace.text.ruledata import Rule, lexicon
from millrace.text.scene import Scene


@functools.cache
def _spellings(dialect: str) -> tuple[ahocorasick_rs.AhoCorasick, tuple[tuple[str, str], ...]]:
    """Search for what `dialect` does not write, and what it writes instead."""
    british, american = zip(*lexicon()["spelling"]["british_american"], strict=True)
    pairs = tuple(zip(british, american, strict=True) if dialect == "american" else zip(american, british, strict=True))
    return _search([old for old, _ in pairs]), pairs


def _search(words: list[str]) -> ahocorasick_rs.AhoCorasick:
    """As a table of all steps, which for so few words is small and a quarter faster."""
    return ahocorasick_rs.AhoCorasick(words, store_patterns=False, implementation=ahocorasick_rs.Implementation.DFA)


def _spelled(masked: str, dialect: str) -> list[tuple[int, int, str]]:
    search, pairs = _spellings(dialect)
    return [
        (start, end, pairs[n][1])
        for n, start, end in search.find_matches_as_indexes(masked, overlapping=True)
        if not (start and masked[start - 1].isalnum()) and not masked[end : end + 1].isalnum()
    ]


@functools.cache
def _either() -> ahocorasick_rs.AhoCorasick:
    british, american = zip(*lexicon()["spelling"]["british_american"], strict=True)
    return _search([*british, *american])


def _counted(text: str) -> tuple[int, int]:
    """How many British and how many American spellings, in one search."""
    pairs = len(lexicon()["spelling"]["british_american"])
    found = [
        n < pairs
        for n, start, end in _either().find_matches_as_indexes(text, overlapping=True)
        if not (start and text[start - 1].isalnum()) and not text[end : end + 1].isalnum()
    ]
    return sum(found), len(found) - sum(found)


def own_dialect(text: str) -> str:
    """The spelling that a text uses more, American when even; "" for one that is not British at all.

    A text that is all American needs no mending: the rules write American words.
    """
    british, american = _counted(text)
    if not british:
        return ""
    return "british" if british > american else "american"


def spelled(low: str, dialect: str) -> list[int]:
    """Where something begins that the dialect does not write."""
    return [start for _, start, _ in _spellings(dialect)[0].find_matches_as_indexes(low)] if dialect else []


def spelling(scene: Scene, rule: Rule) -> list[Edit]:
    """The rarer spelling of a mixed text becomes the other, and what a rule wrote becomes British in a British one."""
    if not scene.dialect:
        return []
    return [Edit(start, end, new, rule.id) for start, end, new in _spelled(scene.masked, scene.dialect)]
