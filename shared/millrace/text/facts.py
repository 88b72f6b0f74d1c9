"""What a rewrite must keep, read out of a text in one pass each. Pure, linear.

Order matters: code, links, markers, citations and quotes are taken out first, so that a digit in an address is no
number.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass, field

import ahocorasick_rs

from millrace.text import quantities as q
from millrace.text.words import GIVEN_NAMES, STOP, WORD, stem

MARKER = re.compile(r"\{\{RED:[^{}\n]{0,200}\}\}")
FENCE = re.compile(r"^(?P<f>```+|~~~+)[^\n]*\n(?:.*?\n)??(?P=f)[ \t]*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]{1,500})\1(?!`)")
URL = re.compile(
    r"(?:[hH][tT][tT][pP][sS]?|[fF][tT][pP])://[^\s<>\"'`\])}]+|[wW][wW][wW]\.[^\s<>\"'`\])}]+|(?<=\]\()[^\s()]{1,2000}(?=\))"
)
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
CITATION = re.compile(
    r"\[\d{1,4}(?:\s?[,;–-]\s?\d{1,4}){0,20}\]|\[\^[\w-]{1,40}\]|\[@[^\]\n]{1,200}\]"
    r"|\\cite[a-z]*\{[^}\n]{1,200}\}"
    r"|\((?:[^()\n]{0,20} )?[A-Z][^()\n]{1,150}?,? (?:19|20)\d\d[a-z]?(?:, pp?\. ?[\d–-]+)?"
    r"(?:; [^()\n]{1,150}?\d{4}[a-z]?){0,9}\)"
)
QUOTE = re.compile(
    r"“[^“”\n]{1,2000}”|«[^«»\n]{1,2000}»|(?<![\w\"])\"(?=\S)[^\"\n]{1,2000}(?<=\S)\"(?!\w)"
    r"|(?<!\w)‘[^‘’\n]{2,300}’(?!\w)"
)
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
NUMBERED = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+\S", re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]\n]{0,300}\]\(")
_SURROGATE = re.compile("[\ud800-\udfff]")

_NEUTRAL = re.compile(
    r"\bnot (?:only|just|merely|simply|solely|to mention|limited to|all)\b"
    r"|\b\w{2,5}n['’]t (?:just|only|merely|simply)\b"
    r"|\bno (?:doubt|matter|stranger to|wonder|secret|further|denying|question)\b|\bor not\b|\bif not\b|\bwhy not\b"
    r"|\bwithout (?:a )?(?:doubt|question|further)\b|\bnothing short of\b"
    r"|\b(?:needless|goes without|make no) (?:to )?\w+"
    r"|\b(?:cannot|can['’]t) be (?:over|under)(?:stated|emphasi[sz]ed)\b"
    r"|\b(?:cannot|can['’]t) be denied\b"
    r"|\bmore often than not\b|\blast but (?:certainly )?not least\b|\b(?:do not|don['’]t) hesitate to\b"
)
_HARD_NEGATIONS = frozenset(
    "not no never none nobody nothing nowhere neither nor without cannot no-one n't n’t".split()
)
_SOFT_NEGATIONS = frozenset(
    """fail fails failed failing lack lacks lacked lacking unable refuse refuses refused refusing hardly scarcely rarely
    seldom barely avoid avoids avoided avoiding absent absence missing
    except stop stops stopped prevent prevents
    prevented false unlikely unclear unknown unchanged unaffected unavailable unnecessary impossible insufficient
    incorrect     incomplete instead""".split()
)
_SIGNALS = sorted(_HARD_NEGATIONS | _SOFT_NEGATIONS | q.NUMBER_WORDS)
_CAPITAL = re.compile(r"[^\W\d_a-zß-öø-ÿ](?<![\w'’].)\w*(?:['’&-]\w+)*")
_ASCII_CAPITAL = re.compile(r"[A-Z](?<![\w'’][A-Z])\w*(?:['’&-]\w+)*")
"""The same in ASCII, three times as fast: a search for one set of letters."""
_CAMEL = re.compile(r"[a-z][A-Z]")
_WITH_CAMEL = re.compile(_CAPITAL.pattern + r"|\b[a-z]+[A-Z]\w*")
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
_ABBREVIATED = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|Sir|St|vs|No|Fig|Eq|e\.g|i\.e|cf|al|approx|Jr|Sr|Inc|Ltd)|\b[A-Z])\.\s$"
)
_WORDS = re.compile(r"[^\W_]+")


@functools.cache
def _signals() -> ahocorasick_rs.AhoCorasick:
    return ahocorasick_rs.AhoCorasick(_SIGNALS, store_patterns=False)


@dataclass(frozen=True)
class Facts:
    """`names`: hard names (casefolded -> text); `words`: every word, casefolded; the rest by kind."""

    exact: dict[str, Counter[str]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    quantities: list[q.Quantity] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    negations: list[str] = field(default_factory=list)
    soft_negations: int = 0
    structure: tuple[tuple[str, str], ...] = ()

    def knows(self, name: str) -> bool:
        """Every part of the name stands somewhere, in any case."""
        return all(part in self.words for part in _WORDS.findall(name))


def read(text: str) -> Facts:
    """All facts of one text."""
    exact: dict[str, Counter[str]] = {}
    rest = text
    for kind, needles, pattern in _TAKEN:
        if kind not in exact:
            exact[kind] = Counter()
        for needle in needles:
            if needle in rest:
                rest = _take(kind, pattern, rest, exact[kind])
                break
    structure = _structure(rest)
    exact["quote"] = (
        Counter(_canonical("quote", m.group()) for m in QUOTE.finditer(rest)) if _quoted(rest) else Counter()
    )
    low = _lower(rest)
    numbers, negations, soft = _scan(rest, low)
    unlisted = NUMBERED.sub(_without_number, rest) if structure[2][1] != "0" else rest
    found_dates, quantities = q.read(unlisted, numbers)
    return Facts(
        exact=exact,
        dates=found_dates,
        quantities=quantities,
        names=_names(rest),
        words=frozenset(_WORDS.findall(text.casefold())),
        negations=negations,
        soft_negations=soft,
        structure=structure,
    )


_TAKEN = (
    ("marker", ("{{RED:",), MARKER),
    ("code", ("```", "~~~"), FENCE),
    ("code", ("`",), INLINE_CODE),
    ("url", ("://", "www.", "WWW.", "]("), URL),
    ("url", ("@",), EMAIL),
    ("citation", ("[", "\\cite", "("), CITATION),
)


def _quoted(text: str) -> bool:
    return any(mark in text for mark in '"“«‘')


def _lower(text: str) -> str:
    """Lower case of the same length, typewriter apostrophes, no surrogates."""
    low = text.lower()
    if len(low) != len(text):
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return low if low.isascii() else _SURROGATE.sub("?", low)


def _take(kind: str, pattern: re.Pattern[str], text: str, bag: Counter[str]) -> str:
    def note(match: re.Match[str]) -> str:
        bag[_canonical(kind, match.group())] += 1
        return "`" + " " * (len(match.group()) - 2) + "`" if len(match.group()) > 1 else "`"

    if pattern is EMAIL:  # few lines hold one; the pattern would try every word of the others
        return "\n".join(pattern.sub(note, line) if "@" in line else line for line in text.split("\n"))
    return pattern.sub(note, text)


def _without_number(match: re.Match[str]) -> str:
    return re.sub(r"\d", " ", match.group()[:-1]) + match.group()[-1]


def _canonical(kind: str, found: str) -> str:
    if kind == "url":
        return found.rstrip(".,;:!?*_")
    if kind == "quote":
        return re.sub(r"\s+", " ", found[1:-1].replace("’", "'")).strip(" .,;:!?")
    if kind == "citation":
        return re.sub(r"\s+", " ", found)
    return found


def _structure(text: str) -> tuple[tuple[str, str], ...]:
    """Headings in order, list items, table rows, images; whether anything is quoted as a block."""
    headings: list[str] = []
    count: Counter[str] = Counter()
    for line in text.split("\n"):
        bare = line.lstrip(" \t")
        first = bare[:1]
        if first == "#" and (found := _HEADING.match(line)):
            headings.append(f"h{len(found.group(1))}")
        elif (first in "-*+•" and first and bare[1:2] in (" ", "\t") and bare[2:].strip()) or first == "•":
            count["bullets"] += 1
        elif first == "|":
            count["table rows"] += bare.rstrip().endswith("|") and len(bare) > 2
        elif first == ">":
            count["blockquote"] += 1
        elif first.isdigit() and NUMBERED.match(line):
            count["numbered items"] += 1
    return (
        ("headings", " ".join(headings)),
        ("bullets", str(count["bullets"])),
        ("numbered items", str(count["numbered items"])),
        ("table rows", str(count["table rows"])),
        ("images", str(len(IMAGE.findall(text)) if "![" in text else 0)),
        ("blockquote", "yes" if count["blockquote"] else "no"),
    )


def _scan(text: str, low: str) -> tuple[list[int], list[str], int]:
    """Where number words begin, the stem after each negation, how many soft negations."""
    numbers: list[int] = []
    negations: list[str] = []
    soft = at = 0
    size = len(low)
    for n, start, end in _signals().find_matches_as_indexes(low, overlapping=True):
        word = _SIGNALS[n]
        if end < size and (low[end].isalnum() or low[end] == "_"):
            continue
        if start and low[start - 1].isalnum() and word not in ("n't", "n’t"):
            continue
        if word in q.NUMBER_WORDS:
            numbers.append(start)
        elif word in _SOFT_NEGATIONS:
            soft += 1
        elif start >= at and not _neutral(low, start, end):
            negations.append(_head(text, end))
            at = end
    return numbers, negations, soft


def _neutral(low: str, start: int, end: int) -> bool:
    """The negation belongs to a phrase that negates nothing: not only, no doubt, last but not least."""
    found = _NEUTRAL.finditer(low, max(0, start - 30), end + 40)
    return any(match.start() <= start and end <= match.end() for match in found)


def _head(text: str, end: int) -> str:
    """Stem of the content word that a negation is about, "" at the end of a clause."""
    for word in WORD.finditer(text, end, min(len(text), end + 60)):
        if word.group().lower() not in STOP:
            return stem(word.group())
    return ""


def _names(text: str) -> dict[str, str]:
    """Hard names; what stands in a heading or at the start of a sentence is one only when it is a common name."""
    names: dict[str, str] = {}
    titles = [match.span() for match in _TITLE_LINE.finditer(text)]
    title = 0
    pattern = _WITH_CAMEL if _CAMEL.search(text) else _ASCII_CAPITAL if text.isascii() else _CAPITAL
    for match in pattern.finditer(text):
        start = match.start()
        while title < len(titles) and titles[title][1] <= start:
            title += 1
        titled = title < len(titles) and titles[title][0] <= start
        word = match.group()
        bare = _bare(word) if "'" in word or "’" in word else word
        sure = _is_name(bare, titled)
        if sure or (sure is None and not titled and not _opens(text, start)):
            names.setdefault(bare.casefold(), bare)
    return names


def _opens(text: str, start: int) -> bool:
    """A sentence, a quotation, a list item or a line after a blank one begins here: a capital is ordinary."""
    if start and text[start - 1].isalnum():
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
def _is_name(bare: str, titled: bool) -> bool | None:
    """Whether the word is a name; None when its place decides."""
    lower = bare.lower()
    if len(bare) < 2 or lower in STOP or lower in _NO_NAMES or re.split("['’]", lower)[0] in STOP:
        return False
    if any(map(str.isupper, bare[1:])):
        return not (titled and bare.isupper() and len(bare) > 5) and not (bare.isupper() and lower in q.UNITS)
    if not bare[0].isupper():
        return False
    return True if any(map(str.isdigit, bare)) or lower in GIVEN_NAMES else None


_NO_NAMES = _TITLES | {"am", "pm"} | frozenset(q.MONTHS) | q.WEEKDAYS | {day + "s" for day in q.WEEKDAYS}
