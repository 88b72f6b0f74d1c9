"""Who does what, and how strongly it is asked for: changes that keep every word's kind and still turn the sense. Pure.

Each speaks only where both sides of a change are seen, since a good editor moves, drops and merges: two names that
stand in each other's place, a "must" that went where a "should" came. Known limits: names that change places together
with their verb's voice or its word, a duty that is dropped or softened in other words, are not seen.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

import ahocorasick_rs

from millrace.text.words import STOP, SURROGATE, WORD, stem

Bound = tuple[str, str]
"""What was there before, and after."""
STRONG = re.compile(
    r"\b(?:must|shall|(?:has|have|had|needs?|required|obliged) to"
    r"|(?:is|are) (?:imperative|mandatory|required|essential|necessary|vital|crucial))\b"
)
WEAK = re.compile(
    r"\b(?:(?:should|may|might|could)(?! be (?:noted|argued|said|mentioned|stressed|remembered|pointed|the case"
    r"|emphasi[sz]ed|highlighted|worth))|ought to|(?:is|are) (?:advised|encouraged|free) to|optional)\b"
)
"""But for phrases that announce a remark and ask for nothing."""
_DUTIES = (
    "must shall should may might could optional".split()
    + [f"{word} to" for word in "has have had need needs required obliged ought".split()]
    + [
        f"{be} {word}"
        for be in ("is", "are")
        for word in "imperative mandatory required essential necessary vital crucial advised encouraged free".split()
    ]
)
"""What every match of STRONG and WEAK begins with."""
_TITLES = frozenset("mr mrs ms dr prof sir".split())
_END = re.compile(r"[.!?;:\n]")
_REACH = 60


class Place(NamedTuple):
    """Where a name stands: the content words before and after it in its sentence, as stems, and whether "by" leads."""

    before: str
    after: str
    led: bool


def swapped(source: str, rewrite: str, names: Mapping[str, str]) -> Iterator[Bound]:
    """Pairs of names of which each stands where the other stood. `names`: single words, casefolded -> as written."""
    if _order(source, names) == _order(rewrite, names):
        return  # names that changed places follow each other in another order
    old, new = places(source, names), places(rewrite, names)
    shared = [name for name in old if name in new and old[name] != new[name]]
    for n, one in enumerate(shared):
        for other in shared[n + 1 :]:
            if _crossed(old[one], old[other], new[one], new[other]):
                yield f"{one} and {other}", f"{other} and {one}"


def _order(text: str, names: Mapping[str, str]) -> list[str]:
    at = {name: text.find(name) for name in names.values()}
    return sorted((name for name in at if at[name] >= 0), key=at.__getitem__)


def _crossed(one: Place, other: Place, one_now: Place, other_now: Place) -> bool:
    """A voice that changed moves both names rightly: "by" then stands before another name than it did."""
    if one == other or one_now != other or other_now != one:
        return False
    return one.led == one_now.led and other.led == other_now.led and any((*one[:2], *other[:2]))


def places(text: str, names: Container[str]) -> dict[str, Place]:
    """Of every name that stands once; words that follow each other as names are one."""
    found: dict[str, Place] = {}
    often: set[str] = set()
    words = [(m.start(), m.end(), m.group()) for m in WORD.finditer(text)]
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and _named(words[end][2], names) and (end == at or _joined(text, words, end)):
            end += 1
        if end == at:
            at += 1
            continue
        name = " ".join(_bare(words[i][2]) for i in range(at, end))
        if name in found:
            often.add(name)
        found[name] = _place(text, words, at, end, names)
        at = end
    return {name: place for name, place in found.items() if name not in often}


def _named(word: str, names: Container[str]) -> bool:
    return word[:1].isupper() and _bare(word) in names


def _bare(word: str) -> str:
    return re.split("['’]", word.casefold())[0]


def _joined(text: str, words: list[tuple[int, int, str]], end: int) -> bool:
    return text[words[end - 1][1] : words[end][0]] == " "


def _place(text: str, words: list[tuple[int, int, str]], at: int, end: int, names: Container[str]) -> Place:
    before = _content(text, words, range(at - 1, -1, -1), words[at][0], names)
    after = _content(text, words, range(end, len(words)), words[end - 1][1], names)
    led = at > 0 and words[at - 1][2].lower() == "by"
    return Place(before, after, led)


def _content(text: str, words: list[tuple[int, int, str]], order: range, edge: int, names: Container[str]) -> str:
    """The nearest content word of the same sentence that is no name, "" without one."""
    for i in order:
        start, end, word = words[i]
        gap = text[end:edge] if end <= edge else text[edge:start]
        if abs(start - edge) > _REACH or _END.search(gap):
            return ""
        low = word.lower()
        if low not in STOP and low not in _TITLES and not _named(word, names):
            return stem(word)
    return ""


def modals(source: str, rewrite: str) -> Iterator[Bound]:
    """A duty that became a suggestion, or a suggestion that became a duty."""
    (duties, advice), (duties_now, advice_now) = _modals(source), _modals(rewrite)
    strong, weak = len(duties_now) - len(duties), len(advice_now) - len(advice)
    if strong < 0 < weak:
        yield duties[0], advice_now[0]
    elif weak < 0 < strong:
        yield advice[0], duties_now[0]


@functools.cache
def _duties() -> ahocorasick_rs.AhoCorasick:
    return ahocorasick_rs.AhoCorasick(_DUTIES, store_patterns=False)


def _modals(text: str) -> tuple[list[str], list[str]]:
    """What STRONG finds and what WEAK finds, tried only where one can begin."""
    searchable = text if text.isascii() else SURROGATE.sub("?", text)
    starts = sorted({start for _, start, _ in _duties().find_matches_as_indexes(searchable, overlapping=True)})
    return _at(STRONG, text, starts), _at(WEAK, text, starts)


def _at(pattern: re.Pattern[str], text: str, starts: list[int]) -> list[str]:
    found: list[str] = []
    end = 0
    for start in starts:
        if start >= end and (match := pattern.match(text, start)):
            found.append(match.group())
            end = match.end()
    return found


def unnumbered(old: Mapping[str, set[str]], new: Mapping[str, set[str]], words: Container[str]) -> Iterator[Bound]:
    """Things that were counted and stand there without their number, though that number stands elsewhere.

    `old`, `new`: noun -> its numbers; `words`: those of the rewrite. Two things of one number, of which one lost it.
    """
    kept = {value for noun, values in old.items() if noun in new for value in values}
    for noun, values in old.items():
        if noun in new or noun not in words or len(values) != 1:
            continue
        (value,) = values
        if value in kept:
            yield f"{value} {noun}", noun
