"""Text made ready to train on: white space in order, and cut only where a sentence ends. Pure.

`{{RED:...}}` markers are never touched inside and never cut; the indentation of a line stays, since code and lists live
by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import accumulate

from .facts import MARKER
from .sentences import split

_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")
_WIDE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_LINE_END = re.compile(r"\r\n?|[\u2028\u2029\u0085]")
_INNER = re.compile(r"(?<=\S)[ \t\f\v]{2,}(?=\S)|(?<=\S)[\t\f\v](?=\S)")
_BEFORE_END = re.compile(r"[ \t\f\v]+(?=\n|$)")
_GAPS = re.compile(r"\n{3,}")


def tidy(text: str) -> str:
    """One kind of line end and of space, at most one empty line, nothing at the ends. tidy(tidy(x)) == tidy(x)."""
    kept: list[str] = []

    def put_by(match: re.Match[str]) -> str:
        kept.append(match[0])
        return "\x00"

    plain = MARKER.sub(put_by, text.replace("\x00", ""))
    plain = _WIDE.sub(" ", _INVISIBLE.sub("", _LINE_END.sub("\n", plain)))
    plain = _GAPS.sub("\n\n", _BEFORE_END.sub("", _INNER.sub(" ", plain))).strip()
    markers = iter(kept)
    return re.sub("\x00", lambda _: next(markers), plain)


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """The longest run of whole sentences from the start that fits, without white space after it; may be empty.

    `fits` holds for every text shorter than one for which it holds.
    """
    if fits(text):
        return text
    ends = list(_ends(text))
    low, high = 0, len(ends)  # the first `low` ends fit, the end at `high` does not
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if fits(text[: ends[middle]].rstrip()) else (low, middle)
    return text[: ends[low - 1]].rstrip() if low else ""


def _ends(text: str) -> Iterator[int]:
    """Where sentences end, in order, but for ends within a marker."""
    spans = [match.span() for match in MARKER.finditer(text)]
    for end in accumulate(map(len, split(text))):
        if not any(start < end < stop for start, stop in spans):
            yield end
