"""What a rewrite must keep, read out of a text in one pass each. Pure, linear.

Order matters: code, links, markers, citations and quotes are taken out first, so that a digit in an address is no
number.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import ahocorasick_rs

from millrace.text import bounds, names
from millrace.text import quantities as q
from millrace.text.dates import DAY_WORDS
from millrace.text.places import Mark
from millrace.text.words import (
    STOP,
    WORD,
    beyond_ascii,
    find_at,
    holds,
    places_of,
    stem,
    sub_at,
    without_surrogates,
    words_of,
)

MARKER = re.compile(r"\{\{RED:[^{}\n]{0,200}\}\}")
FENCE = re.compile(r"([ \t]*(?:(?:[-*+•]|\d{1,3}[.)])[ \t]+)?)(```+|~~~+)[^`\n]*$", re.MULTILINE)
"""The line that opens a block, in a list item or before any."""
INLINE_CODE = re.compile(r"(`(?<!``)`?)(?!`)([^`\n]{1,500})\1(?!`)")
URL = re.compile(
    r"(?:[hH][tT][tT][pP][sS]?|[fF][tT][pP])://[^\s<>\"'`\])}]+|[wW][wW][wW]\.[^\s<>\"'`\])}]+|(?<=\]\()[^\s()]{1,2000}(?=\))"
)
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63})+")
CITATION = re.compile(
    r"\[\d{1,4}(?:\s?[,;–-]\s?\d{1,4}){0,20}\]|\[\^[\w-]{1,40}\]|\[@[^\]\n]{1,200}\]"
    r"|\\cite[a-z]*\{[^}\n]{1,200}\}"
    r"|\((?:[^()\n]{0,20} )?[A-Z][^()\n]{1,150}?,? (?:19|20)\d\d[a-z]?(?:, pp?\. ?[\d–-]+)?"
    r"(?:; [^()\n]{1,150}?\d{4}[a-z]?){0,9}\)"
)
QUOTE = re.compile(
    r"“[^“”\n]{1,2000}”|«[^«»\n]{1,2000}»|\"(?<![\w\"]\")(?=\S)[^\"\n]{1,2000}(?<=\S)\"(?!\w)"
    r"|‘(?<!\w‘)[^‘’\n]{2,300}’(?!\w)"
)
"""Every branch begins with its mark, for which `re` then looks; what stands before that is asked after it."""
QUOTES = '"“«‘'
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
NUMBERED = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+\S", re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]\n]{0,300}\]\(")

_EXCESS = rf"(?:{bounds.MORE}|{bounds.LESS})(?= {q.A_NUMBER})"
_NO_MATTER = r"matter(?= (?:whether|if|what|how|who|when|where|which)\b)"
_NEUTRAL = re.compile(
    rf", if not(?= \w+,)|n['’]t (?:(?:just|only|merely|simply)\b|{_NO_MATTER}|{_EXCESS})"
    r"|\b(?=[cdgilmnostw])"  # what any of these begins with; most words do not
    rf"(?:not (?:(?:only|just|merely|simply|solely|to mention)\b|{_NO_MATTER}|{_EXCESS})"
    rf"|no (?:(?:doubt|matter|stranger(?= to\b)|wonder|secret|denying"
    rf"|question(?=,? (?:that|about)\b))\b|{_EXCESS})|(?:never|cannot) {_EXCESS}"
    r"|(?:including|such as),? but not limited(?= to\b)|(?:whether or|may or may|might or might) not\b"
    r"|or not(?=\s?(?:[.,;:!?)—–]|\Z))|(?:without|with no) further(?= (?:ado|delay)\b)"
    r"|without (?:a )?(?:doubt|question)\b|nothing short(?= of\b)|look no further\b"
    r"|that(?:['’]s| is) not all(?=\s?[.!:;—–])|goes without saying\b|make no mistake\b"
    r"|(?:cannot|can['’]t) be (?:(?:over|under)(?:stated|estimated|emphasi[sz]ed)|denied)\b"
    r"|\bwhy not\b"
    r"|more often than not\b|last but (?:certainly )?not least\b|(?:do not|don['’]t) (?:hesitate|forget)(?= to\b)"
    r"|(?:cannot|can['’]t) wait(?= to\b)|not (?:un(?:common|usual|likely|reasonable)|impossible|infrequent)\b)"
)
"""What negates nothing; it may go, as long as its last word does not stay behind alone: no doubt, doubt."""
_SAYS_NOTHING = frozenset("not than of over above below under beyond least further short saying".split())
_FOCUS = frozenset("only just merely simply solely".split())
_HARD_NEGATIONS = frozenset(
    "not no never none nobody nothing nowhere neither nor without cannot no-one n't n’t".split()
)
_SOFT_NEGATIONS = frozenset(
    """fail fails failed failing lack lacks lacked lacking unable refuse refuses refused refusing hardly scarcely
    rarely seldom barely avoid avoids avoided avoiding absent absence missing except stop stops stopped prevent
    prevents prevented false unlikely unclear unknown unchanged unaffected unavailable unnecessary impossible
    insufficient incorrect incomplete instead unaware unsafe invalid illegal inactive inaccurate inadequate
    ineffective unsuccessful uncommon unusual unwilling uncertain untrue disagree disagrees disagreed unfit
    undecided unpaid unused unless decline declines declined deny denies denied reject rejects rejected forbid
    forbids forbidden prohibit prohibits prohibited""".split()
)
_SIGNALS = sorted(_HARD_NEGATIONS | _SOFT_NEGATIONS | q.NUMBER_WORDS | DAY_WORDS)
_KIND = (
    dict.fromkeys(_SOFT_NEGATIONS, "soft") | dict.fromkeys(DAY_WORDS, "day") | dict.fromkeys(q.NUMBER_WORDS, "number")
)
_KINDS = [_KIND.get(word, word.replace("’", "'")) for word in _SIGNALS]
"""Of each signal: what it counts as, a hard negation as itself."""
_DIGITS = re.compile(r" [$€£¥₹]?(\d+(?:[.,]\d+)*)")
_WITH_NEITHER = 60
_CLAUSE_END = re.compile(r"[.!?;:](?!\w)|\n")
_BREAK = re.compile(
    r"[.!?;:](?!\w)|\n|\b(?:but|and|while|whereas|although|though|yet|because|unless|however)\b", re.IGNORECASE
)
_CLAUSE = 240
_PARTS = re.compile(r"[^\W_]+")


@functools.cache
def _signals() -> ahocorasick_rs.AhoCorasick:
    return ahocorasick_rs.AhoCorasick(_SIGNALS, store_patterns=False, implementation=ahocorasick_rs.Implementation.DFA)


class Negation(NamedTuple):
    """`head`: stem of the content word that is negated, "" without one; `at`: where in `Facts.rest` it follows."""

    head: str
    at: int


class Facts(NamedTuple):
    """`names`: hard names (casefolded -> text); `words`: every word, casefolded; the rest by kind.

    `rest`: the text without what is kept exactly; `exact`: what is, in order, by those of EXACT that stand there;
    `beyond`: what of the whole text is not ASCII.
    """

    rest: str
    exact: dict[str, list[str]]
    dates: dict[str, str]
    quantities: list[q.Quantity]
    names: dict[str, str]
    words: frozenset[str]
    negations: list[Negation]
    neutral: list[str]
    soft_negations: int
    structure: tuple[tuple[str, str], ...]
    places: list[Mark]
    beyond: str

    def knows(self, name: str) -> bool:
        """Every part of the name stands somewhere, in any case."""
        if name.isalnum():
            return name in self.words
        return all(part in self.words for part in _PARTS.findall(name))


def read(text: str) -> Facts:
    """All facts of one text."""
    exact: dict[str, list[str]] = {}
    places: list[Mark] = []
    beyond = beyond_ascii(text)
    rest = _unfenced(text, exact.setdefault("code", [])) if holds(text, "```") or holds(text, "~~~") else text
    for kind, rare, needles, pattern in _TAKEN:
        if any(map(rest.__contains__, rare)) and any(map(rest.__contains__, needles)):
            rest = _take(kind, pattern, rest, exact.setdefault(kind, []), places)
    structure = _structure(rest)
    quotes = [_canonical("quote", match.group()) for match in find_at(places_of(QUOTES, rest), QUOTE, rest)]
    if structure[5][1] == "yes":
        quotes += _blockquotes(rest)
    exact["quote"] = quotes
    numbers, days, negations, neutral, soft = _scan(rest, _lower(rest, beyond))
    unlisted = _unlisted(rest) if structure[2][1] != "0" else rest
    found_dates, quantities, counted = q.read(unlisted, numbers, days, beyond)
    named, name_places = names.read(rest, beyond)
    return Facts(
        rest=rest,
        exact={kind: found for kind, found in exact.items() if found},
        dates=found_dates,
        quantities=quantities,
        names=named,
        places=[*places, *counted, *name_places],
        words=words_of(text, beyond),
        negations=negations,
        neutral=neutral,
        soft_negations=soft,
        structure=structure,
        beyond=beyond,
    )


EXACT = ("code", "marker", "url", "citation", "quote")
_TAKEN = (
    ("marker", "{", ("{{RED:",), MARKER),
    ("code", "`", ("`",), INLINE_CODE),
    ("url", "/]wW", ("://", "www.", "WWW.", "]("), URL),
    ("url", "@", ("@",), EMAIL),
    ("citation", "[\\(", ("[", "\\cite", "("), CITATION),
)
"""Of each kind: characters of which a match holds one, which are looked for fast; signs of which it holds one."""


def _blockquotes(text: str) -> Iterator[str]:
    """What is quoted line by line, each run of lines as one."""
    for quoting, lines in itertools.groupby(text.split("\n"), key=lambda line: line.lstrip(" \t").startswith(">")):
        if quoting:
            yield " ".join(" ".join(line.lstrip(" \t>") for line in lines).split())


def _lower(text: str, beyond: str) -> str:
    """Lower case of the same length, no surrogates. `beyond`: what of the text is not ASCII, or more."""
    if beyond and beyond == beyond.lower():  # marks as a rule: then only the ASCII letters change, which bytes do fast
        return without_surrogates(text, "?").encode().lower().decode()
    low = text.lower()
    if len(low) != len(text):
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return without_surrogates(low, "?")


def _unfenced(text: str, bag: list[str]) -> str:
    """The text without its fenced blocks, of which each is a code; how far a whole block is indented is no matter."""
    out: list[str] = []
    held: list[str] = []
    fence = ""
    indent = 0
    for line in text.splitlines(keepends=True):
        if fence:
            held.append(line[min(indent, len(line) - len(line.lstrip(" \t"))) :])
            bare = line.strip()
            if bare.startswith(fence) and not bare.strip(fence[0]):
                bag.append("".join(held).rstrip())
                fence, held = "", []
        elif opened := FENCE.match(line):
            lead, fence = opened.groups()
            indent, held = len(lead), [line[len(lead) :]]
            out.append(f"{lead}\n")
        else:
            out.append(line)
    if held:
        bag.append("".join(held).rstrip())
    return "".join(out)


def _take(kind: str, pattern: re.Pattern[str], text: str, bag: list[str], places: list[Mark]) -> str:
    base = 0

    def note(match: re.Match[str]) -> str:
        key = _canonical(kind, match.group())
        bag.append(key)
        places.append((base + match.start(), base + match.end(), kind, key))
        return "`" + " " * (len(match.group()) - 2) + "`" if len(match.group()) > 1 else "`"

    if pattern is CITATION:
        return sub_at(places_of(_CITES, text), pattern, note, text)
    if pattern is EMAIL:
        return sub_emails(note, text)
    if pattern is not URL:
        return pattern.sub(note, text)
    out: list[str] = []
    at = 0
    for base, end in _lines_with(_SIGNS, text):
        out += [text[at:base], pattern.sub(note, text[base:end])]
        at = end
    return "".join(out) + text[at:]


def sub_emails(make: Callable[[re.Match[str]], str], text: str) -> str:
    """`EMAIL.sub(make, text)`, tried only at the word before an @."""
    starts = places_of("@", text)
    for n, start in enumerate(starts):
        while start and starts[n] - start <= _LOCAL and (text[start - 1].isalnum() or text[start - 1] in "_.+-"):
            start -= 1
        starts[n] = start
    return sub_at(starts, EMAIL, make, text)


_LOCAL = 64
"""Characters that an address has before its @, at most."""
_CITES = "[(\\"
"""What a citation begins with."""
_SIGNS = ("://", "](", "ww.", "WW.", "Ww.", "wW.")
"""What a line with a link holds; the pattern would try every word of the others."""


def _lines_with(signs: tuple[str, ...], text: str) -> list[tuple[int, int]]:
    """Where the lines are that hold one of the signs, ascending."""
    spans: set[tuple[int, int]] = set()
    for sign in signs:
        at = text.find(sign)
        while at >= 0:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            spans.add((text.rfind("\n", 0, at) + 1, end))
            at = text.find(sign, end)
    return sorted(spans)


def _unlisted(text: str) -> str:
    """The text without the numbers of its numbered lists."""
    lines = text.split("\n")
    for n, line in enumerate(lines):
        if line and not line[0].isalpha() and line.lstrip(" \t")[:1].isdigit():
            lines[n] = NUMBERED.sub(_without_number, line)
    return "\n".join(lines)


def _without_number(match: re.Match[str]) -> str:
    return re.sub(r"\d", " ", match.group()[:-1]) + match.group()[-1]


def _canonical(kind: str, found: str) -> str:
    if kind == "url":
        return found.rstrip(".,;:!?*_")
    if kind == "quote":
        return " ".join(found[1:-1].replace("’", "'").split()).strip(" .,;:!?")
    if kind == "citation":
        return re.sub(r"\s+", " ", found)
    return found


def _structure(text: str) -> tuple[tuple[str, str], ...]:
    """Headings in order, list items, table rows, images; whether anything is quoted as a block."""
    headings: list[str] = []
    bullets = numbered = rows = 0
    quoted = "no"
    for line in filter(None, text.split("\n")):
        if line[0].isalpha():
            continue
        bare = line.lstrip(" \t")
        first = bare[:1]
        if first == "#" and (found := _HEADING.match(line)):
            headings.append(f"h{len(found.group(1))}")
        elif (first in "-*+•" and first and bare[1:2] in (" ", "\t") and bare[2:].strip()) or first == "•":
            bullets += 1
        elif first == "|":
            rows += bare.rstrip().endswith("|") and len(bare) > 2
        elif first == ">":
            quoted = "yes"
        elif first.isdigit() and NUMBERED.match(line):
            numbered += 1
    return (
        ("headings", " ".join(headings)),
        ("bullets", str(bullets)),
        ("numbered items", str(numbered)),
        ("table rows", str(rows)),
        ("images", str(len(IMAGE.findall(text)) if holds(text, "![") else 0)),
        ("blockquote", quoted),
    )


def _scan(text: str, low: str) -> tuple[list[int], list[int], list[Negation], list[str], int]:
    """Where words of numbers and of days begin, the stem after each negation, phrases that negate nothing, how many
    soft negations.
    """
    numbers: list[int] = []
    days: list[int] = []
    negations: list[Negation] = []
    neutral: list[str] = []
    soft = at = 0
    size = len(low)
    for n, start, end in _signals().find_matches_as_indexes(low, overlapping=True):
        if end < size and ((after := low[end]).isalnum() or after == "_"):
            continue
        kind = _KINDS[n]
        if start and low[start - 1].isalnum() and kind != "n't":
            continue
        if kind == "number":
            numbers.append(start)
        elif kind == "day":
            days.append(start)
        elif kind == "soft" or (kind == "nor" and "neither" in low[max(0, start - _WITH_NEITHER) : start]):
            soft += 1
        elif start >= at:
            phrase = _neutral(low, start, end)
            if phrase:
                neutral += filter(None, [_left_of(phrase, low)])
            else:
                negations.append(Negation(_head(text, end), end))
            at = end
    return numbers, days, negations, neutral, soft


def _neutral(low: str, start: int, end: int) -> re.Match[str] | None:
    """The phrase that negates nothing to which the negation belongs: not only, no doubt, last but not least."""
    found = _NEUTRAL.finditer(low, max(0, start - 30), end + 40)
    return next((match for match in found if match.start() <= start and end <= match.end()), None)


def _left_of(phrase: re.Match[str], low: str) -> str:
    """What would turn the sense, were it all that is left: "doubt" of "no doubt", "only staff" of "not only staff"."""
    last = phrase.group().rsplit(" ", 1)[1]
    if last in _SAYS_NOTHING:
        return ""
    if last not in _FOCUS:
        return last
    return f"{last} {following.group()}" if (following := WORD.search(low, phrase.end())) else last


def clause(text: str, at: int) -> set[str]:
    """The stems of the clause around a place: what a negation there may be about."""
    near = text[max(0, at - _CLAUSE) : at + _CLAUSE]
    breaks = [match.span() for match in _BREAK.finditer(near)]
    middle = min(at, _CLAUSE)
    start = max((end for _, end in breaks if end <= middle), default=0)
    stop = min((begin for begin, _ in breaks if begin >= middle), default=len(near))
    return {stem(word) for word in WORD.findall(near, start, stop)}


def _head(text: str, end: int) -> str:
    """Stem of the content word that a negation is about, or the number right after it, "" at the end of a clause."""
    if number := _DIGITS.match(text, end):
        return number.group(1).replace(",", "")
    stop = _CLAUSE_END.search(text, end, end + 60)
    for word in WORD.finditer(text, end, stop.start() if stop else min(len(text), end + 60)):
        if word.group().lower() not in STOP and word.group().lower() != "longer":
            return stem(word.group())
    return ""
