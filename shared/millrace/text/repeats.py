"""What is said twice: words of one meaning in a list, a word or a sentence that follows itself. Pure, linear."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator

from millrace.text.edits import Edit
from millrace.text.ruledata import Rule, lexicon
from millrace.text.scene import Scene

_LIST = re.compile(
    r"(?<![\w-])([a-z]+(?:-[a-z]+)*)(?:, ([a-z]+(?:-[a-z]+)*))?,? (and|or) ([a-z]+(?:-[a-z]+)*)(?![\w-])"
)


_RUN_FIRST = re.compile(r"[a-z-]+")
_RUN_LAST = re.compile(r"[a-z-]+\Z")
_JOINT = re.compile(r" (?:and|or)(?= [a-z])")


def _lists(masked: str) -> Iterator[re.Match[str]]:
    """`_LIST.finditer(masked)`, tried only where a list can stand: two words before an "and" or "or" to one after."""
    at = 0
    for joint in _JOINT.finditer(masked):
        if joint.start() < at:
            continue
        one = masked.rfind(" ", at, joint.start())
        first = masked.rfind(" ", at, one) if one > at else at
        end = masked.find(" ", joint.end() + 1)
        near = _LIST.search(masked, max(at, first), len(masked) if end < 0 else end)
        match = _LIST.match(masked, near.start()) if near else None
        if match is not None:
            yield match
            at = match.end()


@functools.cache
def _classes() -> dict[str, int]:
    return {word: n for n, words in enumerate(lexicon()["synonyms"]["classes"]) for word in words.split()}


def synonym_list(scene: Scene, rule: Rule) -> list[Edit]:
    """Two or three words of one meaning: the list keeps what differs."""
    if " and " not in scene.masked:
        return []
    known = _classes()
    edits: list[Edit] = []
    for match in _lists(scene.masked):
        one, two, joint, three = match.groups()
        if joint != "and" or scene.masked[max(0, match.start() - 2) : match.start()] == ", ":
            continue
        kept = _without_synonyms([w for w in (one, two, three) if w], known)
        if kept:
            edits.append(Edit(match.start(), match.end(), " and ".join(kept), rule.id))
    return edits


def repeating(low: str, _: str = "") -> Iterator[int]:
    """Where an "and" stands between words of one class, or beside one of any where three may stand."""
    known = _classes()
    joint = -4
    while (joint := low.find(" and ", joint + 4)) >= 0:
        first = low.rfind(" ", 0, joint) + 1
        before = low[first:joint].rstrip(",")
        if not before.isalpha() and (run := _RUN_LAST.search(before)):
            before = run.group()
        one, three = known.get(before), first > 1 and low[first - 2] == ","
        if one is None and not three:
            continue
        end = low.find(" ", joint + 5)
        after = low[joint + 5 : end if end >= 0 else None]
        if not after.isalpha() and (run := _RUN_FIRST.match(after)):
            after = run.group()
        other = known.get(after)
        if one == other is not None or (three and (one is not None or other is not None)):
            yield joint + 1


def _without_synonyms(words: list[str], known: dict[str, int]) -> list[str]:
    """What is left, [] when nothing is to be left out."""
    kept: list[str] = []
    seen: set[int] = set()
    for word in words:
        group = known.get(word)
        if group is not None and group in seen:
            continue
        if group is not None:
            seen.add(group)
        kept.append(word)
    return kept if len(kept) < len(words) else []


_TWICE = re.compile(r" ([^ ]*+) \1(?![^ ])")
_REPEATED = re.compile(r"(?<![\w-])([a-z]{2,}) \1(?![\w-])")
_FAIR_DOUBLES = frozenset(
    "had that is very really so no bye ha blah many long far knock in out on there who "
    "her do did was can will it you what more".split()
)


def twice(low: str, _: str) -> list[int]:
    """Where a word stands that follows itself."""
    return [match.start() for match in _TWICE.finditer(" " + low)]


def doubled_word(scene: Scene, rule: Rule) -> list[Edit]:
    """A word that follows itself goes; "had had" and "that that" may be right."""
    if not _TWICE.search(" " + scene.low):
        return []
    return [
        Edit(m.start(), m.end(), scene.block[m.start(1) : m.end(1)], rule.id)
        for m in _REPEATED.finditer(scene.masked)
        if m.group(1) not in _FAIR_DOUBLES
    ]


def doubled_sentence(scene: Scene, rule: Rule) -> list[Edit]:
    """A sentence that follows itself is left out."""
    if len(scene.spans) < 2:
        return []
    edits = []
    for (s1, e1), (s2, e2) in itertools.pairwise(scene.spans):
        if e1 - s1 == e2 - s2 > 24 and scene.block[e1 - 1] in ".!?" and scene.block[s1:e1] == scene.block[s2:e2]:
            edits.append(Edit(e1, e2, "", rule.id))
    return edits
