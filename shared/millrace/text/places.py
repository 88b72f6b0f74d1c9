"""What stands where: names, dates, numbers, citations, links and code that changed places. Pure, linear.

Each speaks only where both sides of a change are seen, since a good editor moves, drops and merges. Known limits: two
that change places together with their verb's voice or its word, within one sentence, are not seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from millrace.text.words import STOP, WORD, stem

_TITLES = frozenset("mr mrs ms dr prof sir".split())
_SENTENCE = re.compile(r"[.!?](?=[\s\"”’)\]*_]|\Z)|[;\n]")
_REACH = 12
"""Words on either side of a mark that are taken to be about it."""
_MOVES = 4
"""A word that more than so many marks lost or gained says nothing of any."""

Mark = tuple[int, int, str, str]
"""Where something starts and ends, its kind, and the key that tells it from others of its kind."""
Binding = tuple["Thing", "Thing"]


class Thing(NamedTuple):
    """A mark, or the stem of a content word, which has no kind."""

    kind: str
    key: str


class Place(NamedTuple):
    """What stands before and after a mark in its sentence, and whether "by" leads."""

    before: Thing | None
    after: Thing | None
    led: bool


def swapped(text: str, marks: list[Mark], other: str, others: list[Mark]) -> Iterator[tuple[str, str, str]]:
    """The kind of two marks of which each stands where the other stood, and both, before and after."""
    one, two = _joined(text, marks), _joined(other, others)
    keys, keys_now = [mark[2:] for mark in one], [mark[2:] for mark in two]
    if keys == keys_now or _order(keys, keys_now) == _order(keys_now, keys):
        return  # what changed places follows each other in another order
    old, new = list(_sentences(text, one)), list(_sentences(other, two))
    found = {*_crossed(_places(old), _places(new)), *_exchanged(_bindings(old), _bindings(new))}
    for a, b in sorted(found):
        yield a.kind, f"{a.key} and {b.key}", f"{b.key} and {a.key}"


def _joined(text: str, marks: list[Mark]) -> list[Mark]:
    """Names that follow each other are one."""
    found: list[Mark] = []
    last, last_end = "", 0
    for mark in sorted(marks):
        start, end, kind, key = mark
        if start == last_end + 1 and last == kind == "name" and text[last_end] == " ":
            found[-1] = (found[-1][0], end, "name", f"{found[-1][3]} {key}")
            last_end = end
        elif start >= last_end:
            found.append(mark)
            last, last_end = kind, end
    return found


def _order(keys: list[tuple[str, str]], others: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each that stands on both sides, where it stands first."""
    known = {*others}
    return [key for key in dict.fromkeys(keys) if key in known]


def _sentences(text: str, marks: list[Mark]) -> Iterator[list[tuple[Thing, str]]]:
    """The marks and content words of each sentence that holds a mark, each with the word right before it."""
    ends = [match.end() for match in _SENTENCE.finditer(text)]
    ends.append(len(text))
    at = start = 0
    for end in ends:
        held = []
        while at < len(marks) and marks[at][0] < end:
            held.append(marks[at])
            at += 1
        if held:
            yield list(_things(text, start, max(end, held[-1][1]), held))
        start = end


def _things(text: str, start: int, end: int, marks: list[Mark]) -> Iterator[tuple[Thing, str]]:
    last = ""
    for mark in [*marks, None]:
        for word in WORD.finditer(text, start, mark[0] if mark else end):
            low = word.group().lower()
            if low not in STOP and low not in _TITLES:
                yield Thing("", stem(low)), last
            last = low
        if mark:
            yield Thing(*mark[2:]), last
            start, last = mark[1], ""


def _places(sentences: list[list[tuple[Thing, str]]]) -> dict[Thing, Place]:
    """Of every mark that stands once."""
    often = Counter(thing for sentence in sentences for thing, _ in sentence if thing.kind)
    return {
        thing: Place(
            sentence[i - 1][0] if i else None,
            sentence[i + 1][0] if i + 1 < len(sentence) else None,
            last == "by",
        )
        for sentence in sentences
        for i, (thing, last) in enumerate(sentence)
        if often[thing] == 1
    }


def _listed(thing: Thing, was: Place, now: Place) -> bool:
    """It stands beside the same member of a list, on its other side: Anna, Tom and Ben; Ben, Tom and Anna."""
    beside = ((was.after, now.before), (was.before, now.after))
    return any(one and one == other and one.kind == thing.kind for one, other in beside)


def _crossed(old: dict[Thing, Place], new: dict[Thing, Place]) -> Iterator[Binding]:
    """A voice that changed moves both rightly: "by" then stands before another than it did."""
    moved = {(old[thing], new[thing]): thing for thing in old if thing in new and old[thing] != new[thing]}
    for (was, now), thing in moved.items():
        other = moved.get((now, was))
        if not other or other <= thing or thing.kind != other.kind or was.led != now.led:
            continue
        if any((*was[:2], *now[:2])) and not _listed(thing, was, now):
            yield thing, other


def _bindings(sentences: list[list[tuple[Thing, str]]]) -> set[Binding]:
    """Each mark with each thing near it in the same sentence."""
    return {
        (thing, other)
        for sentence in sentences
        for i, (thing, _) in enumerate(sentence)
        if thing.kind
        for other, _ in sentence[max(0, i - _REACH) : i + _REACH + 1]
        if other != thing
    }


def _exchanged(old: set[Binding], new: set[Binding]) -> Iterator[Binding]:
    """Two marks of which each lost something to the other: Anna in Berlin and Tom in Paris, Anna in Paris."""
    lost, gained = _holders(old - new), _holders(new - old)
    moves = {
        (one, other)
        for thing in lost.keys() & gained.keys()
        if len(lost[thing]) <= _MOVES and len(gained[thing]) <= _MOVES
        for one in lost[thing]
        for other in gained[thing]
        if one.kind == other.kind
    }
    yield from ((one, other) for one, other in moves if one < other and (other, one) in moves)


def _holders(bindings: set[Binding]) -> dict[Thing, list[Thing]]:
    held: dict[Thing, list[Thing]] = {}
    for mark, thing in bindings:
        held.setdefault(thing, []).append(mark)
    return held
