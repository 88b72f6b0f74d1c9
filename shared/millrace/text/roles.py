"""How strongly something is asked for, and which of two equal numbers went. Pure.

Each speaks only where both sides of a change are seen: a "must" that went where a "should" came. Known limit: a duty
that is dropped or softened in other words is not seen.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Iterator, Mapping

import ahocorasick_rs

from millrace.text.words import find_at, without_surrogates

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
ADVICE = frozenset("should may might could ought advised encouraged free optional".split())
"""Words of which every match of WEAK holds one; without any, no duty can have become advice or been it."""
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
    return ahocorasick_rs.AhoCorasick(_DUTIES, store_patterns=False, implementation=ahocorasick_rs.Implementation.DFA)


def _modals(text: str) -> tuple[list[str], list[str]]:
    """What STRONG finds and what WEAK finds, tried only where one can begin."""
    searchable = without_surrogates(text, "?")
    starts = sorted({start for _, start, _ in _duties().find_matches_as_indexes(searchable, overlapping=True)})
    strong, weak = ([match.group() for match in find_at(starts, kind, text)] for kind in (STRONG, WEAK))
    return strong, weak


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
