"""Names that a rewrite must keep: capitals that no sentence's beginning explains. Pure, linear."""

from __future__ import annotations

import functools
import re

from millrace.text.dates import MONTHS, WEEKDAYS
from millrace.text.places import Mark
from millrace.text.units import UNITS
from millrace.text.words import GIVEN_NAMES, STOP

_CAPITAL = re.compile(r"[^\W\d_a-zß-öø-ÿ](?<![\w'’].)\w*(?:['’&-]\w+)*")
_BEYOND_CAPITAL = re.compile(r"[^\W\d_a-zß-öø-ÿ]")
_ASCII_CAPITAL = re.compile(r"[A-Z](?<![\w'’][A-Z])\w*(?:['’&-]\w+)*")
"""The same in ASCII, three times as fast: a search for one set of letters."""
_NO_CAPITALS = bytes(n for n in range(256) if not 65 <= n <= 90)
_HUMP = re.compile(r"[A-Z](?<=[a-z][A-Z])")
_CAMEL = re.compile(r"\b[a-z]+[A-Z]\w*")
_TITLE_LINE = re.compile(
    r"^#{1,6} .*|^(?:[A-Z0-9][\w'’-]*|of|the|and|in|to|for|a|an|with|on|or|at|by|from|your|our|&|[–—:-])"
    r"(?: (?:[A-Z0-9][\w'’-]*:?|of|the|and|in|to|for|a|an|with|on|or|at|by|from|your|our|&|[–—-])){2,14}$",
    re.MULTILINE,
)
_TITLES = frozenset("mr mrs ms dr prof sir st vs".split())
_OPENING = re.compile(
    r"(?:^|\n[ \t]*\n|[.!?:;…][\"”’')\]*_]*[ \t\n]|[\"“‘«(\[—–|*_>•#]|(?:^|\n)[ \t]*(?:[-+]|\d{1,3}[.)]))"
    r"[ \t\n]*[\"“‘«(*_]*$"
)
_SHORTENED = frozenset("Mr Mrs Ms Dr Prof Sir St vs No Fig Eq cf al approx Jr Sr Inc Ltd".split())
_ABBREVIATED = re.compile(rf"(?:\b(?:{'|'.join(sorted(_SHORTENED))}|e\.g|i\.e)|\b[A-Z])\.\s$")


def read(text: str, beyond: str) -> tuple[dict[str, str], list[Mark]]:
    """Hard names, and where these stand or may; what stands in a heading or at the start of a sentence is one only when
    it is a common name. `beyond`: what of the text is not ASCII, or more.
    """
    names: dict[str, str] = {}
    places: list[Mark] = []
    titles = iter([*_titles(text), (len(text), len(text))])
    first, last = next(titles)
    for start, word in _capitals(text, beyond):
        if word in _FUNCTION:
            continue
        while last <= start:
            first, last = next(titles)
        titled = first <= start
        bare, key, sure = _name(word, titled)
        if sure is False:
            continue
        if key not in names and (sure or (not titled and not _opens(text, start))):
            names[key] = bare
        places.append((start, start + len(word), "name", key))
    return names, places


def _titles(text: str) -> list[tuple[int, int]]:
    """Where lines are headings or titles; a title does not end with a full stop, which most lines of prose do."""
    found: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        if line and (line[-1] != "." or line[0] == "#") and (match := _TITLE_LINE.match(line)):
            found.append((start, start + match.end()))
        start += len(line) + 1
    return found


def _capitals(text: str, beyond: str) -> list[tuple[int, str]]:
    """Where words with a capital begin, and these, ascending: "iPhone" too, unless it stands within another."""
    pattern = _CAPITAL if _BEYOND_CAPITAL.search(beyond) else _ASCII_CAPITAL
    plain = [(match.start(), match.group()) for match in pattern.finditer(text)]
    capitals = _count_capitals(text)
    camels = _camels(text) if capitals > _count_capitals("".join([word for _, word in plain])) else []
    if not camels:
        return plain
    found: list[tuple[int, str]] = []
    at = 0
    for start, word in sorted(plain + camels):
        if start >= at:
            found.append((start, word))
            at = start + len(word)
    return found


def _count_capitals(text: str) -> int:
    """How many ASCII capitals."""
    return len(text.encode("utf-8", "surrogatepass").translate(None, _NO_CAPITALS))


def _camels(text: str) -> list[tuple[int, str]]:
    """Words that begin small and go on with a capital; found by the capital, which few words hold."""
    found: list[tuple[int, str]] = []
    for hump in _HUMP.finditer(text):
        start = hump.start() - 1
        while start and "a" <= text[start - 1] <= "z":
            start -= 1
        if match := _CAMEL.match(text, start):
            found.append((start, match.group()))
    return found


def _opens(text: str, start: int) -> bool:
    """A sentence, a quotation, a list item or a line after a blank one begins here: a capital is ordinary."""
    before = text[start - 2 : start] if start > 1 else text[:start]
    if before[1:] == " " and before[0].isalnum():
        return False  # as most within a sentence
    if before == ". ":
        word = text[max(0, start - 12) : start - 2].rpartition(" ")[2]
        if word.isalpha() and len(word) > 1:
            return word not in _SHORTENED
    if before in (". ", "\n\n"):
        return not _ABBREVIATED.search(text, max(0, start - 12), start)
    if start and (before[-1].isalnum() or before == ", "):
        return False
    window = text[max(0, start - 12) : start]
    if not _OPENING.search(window):
        return start == 0
    return not _ABBREVIATED.search(window)


def _bare(word: str) -> str:
    for ending in ("'s", "’s", "'", "’"):
        if word.endswith(ending):
            return word[: -len(ending)]
    return word


@functools.lru_cache(maxsize=8_192)
def _name(word: str, titled: bool) -> tuple[str, str, bool | None]:
    """The word without its ending, the same casefolded, and whether it is a name; None when its place decides."""
    bare = _bare(word)
    return bare, bare.casefold(), _is_name(bare, titled)


def _is_name(bare: str, titled: bool) -> bool | None:
    lower = bare.lower()
    if len(bare) < 2 or lower in STOP or lower in _NO_NAMES or re.split("['’]", lower)[0] in STOP:
        return False
    if any(map(str.isupper, bare[1:])):
        return not (titled and bare.isupper() and len(bare) > 5) and not (bare.isupper() and lower in UNITS)
    if not bare[0].isupper():
        return False
    return True if any(map(str.isdigit, bare)) or lower in GIVEN_NAMES else None


_FUNCTION = frozenset(map(str.capitalize, STOP)) | {*"AI"}
"""What is no name wherever it stands, as most capitals are."""
_NO_NAMES = _TITLES | {"am", "pm"} | frozenset(MONTHS) | WEEKDAYS | {day + "s" for day in WEEKDAYS}
