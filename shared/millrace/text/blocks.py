"""A text cut into blocks, lossless, and what in a block no rule may touch. Pure, linear.

Prose is a paragraph, a list item or a line that stands alone; code, headings, tables, quotations and front matter
are kept.
A protected character is masked by MASK, so that no pattern matches it and every position stays what it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from millrace.text import facts
from millrace.text.sentences import split
from millrace.text.words import holds, places_of, sub_at, without_surrogates

MASK = "\ue000"
_KEPT_LINE = re.compile(
    r" {0,3}#{1,6}(?:[ \t]|$)|[ \t]*\||[ \t]*>|(?: {4,}|\t)\S|[ \t]*<[a-zA-Z/!]|[ \t]*(?:[-*_=][ \t]*){3,}$|\$\$"
)
_KEPT_STARTS = frozenset(" \t#|><-*_=$")
_MARKER = re.compile(r"[ \t]*(?:[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?|\d{1,3}[.)][ \t]+)")
LARGEST = 16_000
"""Characters of one prose block; a single sentence longer than this is no prose and stays as it is."""
_WRAPPED = 56  # a line this long that a lower-case line follows was wrapped, not ended

_TAG = re.compile(r"<[^<>\n]{1,300}>")
_LINK = re.compile(r"!?\[[^\]\n]{0,300}\]\([^()\n]{0,2000}\)|\[[^\]\n]{1,300}\]\[[^\]\n]{0,100}\]")
_MATH = re.compile(r"\$[^\s$](?:[^$\n]{0,200}[^\s$])?\$(?!\d)|\\\([^\n]{1,200}?\\\)")
_GUARDS: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("{{", "}}", facts.MARKER), ("`", "`", facts.INLINE_CODE), ("](", ")", _LINK), ("][", "]", _LINK),
    ("://", "", facts.URL), ("www.", "", facts.URL), ("@", ".", facts.EMAIL),
    ("[", "]", facts.CITATION), ("\\", "}", facts.CITATION), (" 19", "(", facts.CITATION), (" 20", "(", facts.CITATION),
    ("<", ">", _TAG), ("$", "$", _MATH), ("\\(", ")", _MATH),
    ('"', '"', facts.QUOTE), ("“", "”", facts.QUOTE), ("«", "»", facts.QUOTE), ("‘", "’", facts.QUOTE),
)  # fmt: skip
"""Two things that a match of each pattern holds; those of one pattern stand together."""
_ORDINARY = bytes(set(range(256)) - set(b'{`/@[\\(<$"\x98\x9c\xab\xed'))
"""Bytes of UTF-8 of which no guard's signs are, but for `www.`, and no half of a pair: each of ‘, “ and « has one that
is not here. Where they are all that a block holds, nothing is protected."""


class Block(NamedTuple):
    """A piece of the text. `prose` = rules may work on it; `lead` = length of its bullet; `item` = it
    is a list item."""

    text: str
    prose: bool
    lead: int = 0
    item: bool = False


def blocks(text: str) -> Iterator[Block]:
    """The text's blocks in order; joined they are the text. White space between paragraphs is a block of its own."""
    held: list[str] = []
    fence = ""
    fenced = holds(text, "```") or holds(text, "~~~")
    for i, line in enumerate(_lines(text)):
        opener = _fence(line) if fenced else ""
        if fence or opener:
            yield from _flush(held)
            yield Block(line, False)
            fence = "" if fence and opener.startswith(fence) else fence or opener
        elif (
            line.isspace() or (line[0] in _KEPT_STARTS and _KEPT_LINE.match(line)) or (i == 0 and line.strip() == "---")
        ):
            if held and _continues(line):
                held.append(line)
                continue
            if held:
                yield from _flush(held)
            yield Block(line, False)
        else:
            if held and not _joins(held[-1], line):
                yield from _flush(held)
            held.append(line)
    if held:
        yield from _flush(held)


_BLANK = re.compile(r"\n[\s]*\n")


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends; a run of blank lines is one."""
    at = 0
    for gap in _BLANK.finditer(text):
        yield from text[at : gap.start() + 1].splitlines(keepends=True)
        yield text[gap.start() + 1 : gap.end()]
        at = gap.end()
    yield from text[at:].splitlines(keepends=True)


def _fence(line: str) -> str:
    stripped = line.lstrip(" ")
    for mark in ("```", "~~~"):
        if stripped.startswith(mark):
            return mark
    return ""


def _continues(line: str) -> bool:
    """An indented line under a list item or a wrapped line is prose, not code."""
    return line[0] in " \t" and not line.isspace() and not line.lstrip().startswith(("|", ">", "<", "#"))


def _joins(before: str, line: str) -> bool:
    return not _MARKER.match(line) and len(before.rstrip()) >= _WRAPPED and not before.endswith("  \n")


def _flush(held: list[str]) -> Iterator[Block]:
    if held:
        text = "".join(held)
        held.clear()
        marker = _MARKER.match(text)
        lead, item = (marker.end(), True) if marker else (0, False)
        for piece in [text] if len(text) <= LARGEST else _cut(text):
            yield Block(piece, len(piece) <= LARGEST, lead, item)
            lead = 0


def _cut(text: str) -> Iterator[str]:
    """A paragraph longer than any person writes, in pieces that end with a sentence."""
    held: list[str] = []
    size = 0
    for sentence in split(text):
        if size + len(sentence) > LARGEST and held:
            yield "".join(held)
            held, size = [], 0
        held.append(sentence)
        size += len(sentence)
    yield "".join(held)


def mask(block: str, lead: int = 0) -> str:
    """The block with what is protected masked and every line end a space; same length."""
    bare = not block.encode("utf-8", "surrogatepass").translate(None, _ORDINARY) and "www." not in block
    out = block if bare else _protected(block)
    if lead:
        out = MASK * (lead - 1) + " " + out[lead:]
    return level(out)


def _protected(block: str) -> str:
    out = without_surrogates(block, MASK)
    done = None
    for needle, other, pattern in _GUARDS:
        if needle in block and (other in block if other != needle else block.count(needle) > 1) and pattern is not done:
            done = pattern
            if pattern is facts.EMAIL:
                out = facts.sub_emails(_masked, out)
            elif pattern is facts.QUOTE:
                out = sub_at(places_of(facts.QUOTES, out), pattern, _masked, out)
            else:
                out = pattern.sub(_masked, out)
    return out


def level(text: str) -> str:
    """The text as phrases are looked for in it: line ends as spaces, typewriter apostrophes; same length."""
    text = text.replace("\n", " ").replace("\r", " ")
    return text if text.isascii() else text.replace("’", "'")


def _masked(match: re.Match[str]) -> str:
    found = match.group()
    if found[0] in '"“«‘' and len(found) > 2 and found[-2] in ".!?":
        return MASK * (len(found) - 2) + found[-2:]
    return MASK * len(found)


def sentence_spans(pieces: list[str], lead: int = 0) -> list[tuple[int, int]]:
    """(start, end) of each sentence that a masked block was cut into, white space before and after it not counted."""
    spans = []
    at = 0
    for piece in pieces:
        start, end = at, at + len(piece.rstrip())
        at += len(piece)
        if start < lead or piece[0] in " \t*_":
            own = piece[lead - start :] if start < lead else piece
            start = at - len(own.lstrip(" \t*_"))
        if end > start:
            spans.append((start, end))
    return spans
