"""What a rewrite must keep, read out of a text in one pass each. Pure, linear.

Order matters: code, links, markers, citations and quotes are taken out first, so that a digit in an address is no
number.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from millrace.text import quantities as q
from millrace.text.sentences import split
from millrace.text.words import GIVEN_NAMES, STOP, WORD, stem

MARKER = re.compile(r"\{\{RED:[^{}\n]{0,200}\}\}")
FENCE = re.compile(r"^(?P<f>```+|~~~+)[^\n]*\n(?:.*?\n)??(?P=f)[ \t]*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]{1,500})\1(?!`)")
URL = re.compile(
    r"\b(?:https?|ftp)://[^\s<>\"'`\])}]+|\bwww\.[^\s<>\"'`\])}]+|\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|(?<=\]\()[^\s()]{1,2000}(?=\))",
    re.IGNORECASE,
)
CITATION = re.compile(
    r"\[\d{1,4}(?:\s?[,;–-]\s?\d{1,4}){0,20}\]|\[\^[\w-]{1,40}\]|\[@[^\]\n]{1,200}\]|\\cite[a-z]*\{[^}\n]{1,200}\}"
    r"|\((?:[^()\n]{0,20} )?[A-Z][^()\n]{1,150}?,? (?:19"
    r"|20)\d\d[a-z]?(?:, pp?\. ?[\d–-]+)?(?:; [^()\n]{1,150}?\d{4}[a-z]?)*\)"
)
QUOTE = re.compile(
    r"“[^”\n]{1,2000}”|«[^»\n]{1,2000}»|(?<![\w\"])\"(?=\S)[^\"\n]{1,2000}(?<=\S)\"(?!\w)|(?<!\w)‘[^’\n]{2,300}’(?!\w)"
)
HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+\S", re.MULTILINE)
BULLET = re.compile(r"^[ \t]*[-*+•][ \t]+\S", re.MULTILINE)
NUMBERED = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+\S", re.MULTILINE)
TABLE_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.MULTILINE)
BLOCKQUOTE = re.compile(r"^[ \t]*>[ \t]?\S", re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]\n]{0,300}\]\(")

_NEUTRAL = re.compile(
    r"\bnot (?:only|just|merely|simply|solely|to mention)\b|\b(?:isn't|aren't|wasn't|weren't) (?:just"
    r"|only|merely|simply)\b"
    r"|\bno doubt\b|\bwithout (?:a )?(?:doubt|question)\b|\bno matter\b|\bnothing short of\b|\bneedless to say\b"
    r"|\bgoes without saying\b|\bcannot be overstated\b|\bcan(?:no|'|’)t be overstated\b|\bwhether or not\b|\bor not\b"
    r"|\bmore often than not\b|\bno stranger to\b|\bif not\b|\blast but not least\b|\bthere(?:'s"
    r"| is) no denying(?: that)?\b"
    r"|\b(?:cannot|can't) be (?:overstated|denied)\b|\bno wonder\b|\bdon't hesitate to\b"
    r"|\bdo not hesitate to\b|\bnone ?the ?less\b"
    r"|\bnever ?the ?less\b|\bthere(?:'s| is) no question(?: that)?\b|\bno secret\b|\bwhy not\b"
    r"|\bnot limited to\b|\bno further\b|\bmake no mistake\b|\bnot all\b|\b(?:without|with no) further\b"
    r"|\bwith no further\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|nowhere|neither|nor|without|cannot|no-one)\b|\b\w{2,9}n['’]t\b",
    re.IGNORECASE,
)
_SOFT_NEGATION = re.compile(
    r"\b(?:fail(?:s|ed|ing)?|lack(?:s|ed|ing)?|unable|refus(?:e|es|ed|ing)|hardly|scarcely|rarely|seldom"
    r"|barely|avoid(?:s|ed|ing)?"
    r"|absent|absence|free of|instead of|rather than|miss(?:es|ed|ing)?|except|stop(?:s|ped)?|prevent(?:s"
    r"|ed|ing)?|false|no longer"
    r"|un(?:able|likely|clear|known|changed|affected|available|necessary)|im(?:possible)|in(?:sufficient"
    r"|correct|complete))\b",
    re.IGNORECASE,
)
_CAPITAL = re.compile(r"[^\W\d_][\w]*(?:['’&-][\w]+)*")
_TITLES = frozenset("mr mrs ms dr prof sir st vs".split())
_LEAD = re.compile(r"^(?:[\s>#*_+•|\"'“‘(\[-]|\d{1,3}[.)]\s)*")


@dataclass(frozen=True)
class Facts:
    """`name`: hard names (casefolded -> text); `words`: every word, casefolded; the rest by kind."""

    exact: dict[str, Counter[str]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    quantities: list[q.Quantity] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    negations: list[str] = field(default_factory=list)
    soft_negations: int = 0
    structure: tuple[tuple[str, str], ...] = ()


def read(text: str) -> Facts:
    """All facts of one text."""
    exact: dict[str, Counter[str]] = {}
    rest = text
    for kind, pattern in (
        ("marker", MARKER),
        ("code", FENCE),
        ("code", INLINE_CODE),
        ("url", URL),
        ("citation", CITATION),
    ):
        rest = _take(kind, pattern, rest, exact)
    structure = _structure(rest)
    rest = _take("quote", QUOTE, rest, exact, keep=True)
    numbered = NUMBERED.sub(lambda m: re.sub(r"\d", " ", m.group()[:-1]) + m.group()[-1], rest)
    found_dates, undated = q.dates(numbered)
    return Facts(
        exact=exact,
        dates=found_dates,
        quantities=q.quantities(undated),
        names=_names(undated),
        words=frozenset(w.casefold() for w in _words(text)),
        negations=_negations(rest),
        soft_negations=len(_SOFT_NEGATION.findall(rest)),
        structure=structure,
    )


def _take(kind: str, pattern: re.Pattern[str], text: str, into: dict[str, Counter[str]], keep: bool = False) -> str:
    bag = into.setdefault(kind, Counter())

    def note(match: re.Match[str]) -> str:
        bag[_canonical(kind, match.group())] += 1
        return match.group() if keep else "`" + " " * (len(match.group()) - 2) + "`" if len(match.group()) > 1 else "`"

    return pattern.sub(note, text)


def _canonical(kind: str, found: str) -> str:
    if kind == "url":
        return found.rstrip(".,;:!?*_")
    if kind == "quote":
        return re.sub(r"\s+", " ", found[1:-1].replace("’", "'")).strip(" .,;:!?")
    if kind == "citation":
        return re.sub(r"\s+", " ", found)
    return found


def _structure(text: str) -> tuple[tuple[str, str], ...]:
    headings = " ".join(f"h{len(m)}" for m in HEADING.findall(text))
    counts = [
        (name, str(len(pattern.findall(text))))
        for name, pattern in (
            ("bullets", BULLET), ("numbered items", NUMBERED), ("table rows", TABLE_ROW), ("images", IMAGE)
        )
    ]  # fmt: skip
    quoted = "yes" if BLOCKQUOTE.search(text) else "no"
    return (("headings", headings), *counts, ("blockquote", quoted))


def _words(text: str) -> list[str]:
    found = []
    for word in _CAPITAL.findall(text):
        bare = _bare(word)
        found.append(bare)
        if "-" in bare or "&" in bare:
            found.extend(re.split("[-&]", bare))
    return found


def _bare(word: str) -> str:
    return re.sub(r"['’]s?$", "", word)


def _names(text: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for sentence in split(text):
        start = _LEAD.match(sentence)
        at = start.end() if start else 0
        found = [(m.start(), m.group()) for m in _CAPITAL.finditer(sentence)]
        capitals = sum(w[0].isupper() for _, w in found)
        titled = (capitals > 3 and capitals > 0.6 * len(found)) or sentence.lstrip().startswith("#")
        for where, word in found:
            if _is_name(word, where <= at or _opens(sentence, where), titled):
                bare = _bare(word)
                names.setdefault(bare.casefold(), bare)
    return names


def _opens(sentence: str, where: int) -> bool:
    """After a colon, a quote mark or a bullet a capital is ordinary."""
    before = sentence[max(0, where - 4) : where].rstrip(" ")
    return not before or before[-1] in ':"“‘(—–|*_•\n.!?>' or before.endswith(("\n-", " -"))


def _is_name(word: str, opening: bool, titled: bool) -> bool:
    bare = _bare(word)
    lower = bare.lower()
    if (
        len(bare) < 2
        or lower in STOP
        or lower in _TITLES
        or lower.split("'")[0].split("’")[0] in STOP
        or lower in q.MONTHS
    ):
        return False
    if any(c.isupper() for c in bare[1:]):
        return not (titled and bare.isupper() and len(bare) > 5)
    if any(c.isdigit() for c in bare):
        return bare[0].isupper()
    if not bare[0].isupper():
        return False
    if opening or titled:
        return lower in GIVEN_NAMES
    return True


def _negations(text: str) -> list[str]:
    """For each negation the stem of the content word that follows it, "" at the end of a clause."""
    rest = _NEUTRAL.sub(lambda m: " " * len(m.group()), text)
    found = []
    for match in _NEGATION.finditer(rest):
        head = ""
        for word in WORD.finditer(rest, match.end(), min(len(rest), match.end() + 60)):
            if word.group().lower() not in STOP:
                head = stem(word.group())
                break
        found.append(head)
    return found
