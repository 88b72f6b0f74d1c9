"""Edits of one block and the mending that they need: capitals, articles, spaces and stray commas. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from millrace.text.blocks import MASK
from millrace.text.inflect import article

_ARTICLE_BEFORE = re.compile(r"\b([Aa]n?)([ \n]+)$")
_GAP = frozenset(" \n")
_ENDS_ARTICLE = frozenset("aAn \n")
"""What stands right before the last space, or before the last of several, where an article may end."""
_INK = re.compile(r"\S")
_NEXT_WORD = re.compile(r"[\"“‘(*_]*([^\W_][\w-]*)")


@dataclass(slots=True)
class Edit:
    """Replace block[start:end] by `new`. `opens`: a sentence begins here, so what then stands here has a capital."""

    start: int
    end: int
    new: str
    rule: str
    opens: bool = False


def settle(edit: Edit, block: str) -> Edit:
    """A deletion takes one neighbouring space with it, and a comma that lost its partner."""
    if edit.new:
        return edit
    start, end = edit.start, edit.end
    if edit.opens:
        while end < len(block) and block[end] in " \t\n" and _more(block, end):
            end += 1
        if not _more(block, end):
            start -= len(block[:start]) - len(block[:start].rstrip(" \t"))
    elif end < len(block) and block[end] in " \n" and (start == 0 or block[start - 1] in " \n"):
        end += 1
    elif start > 0 and block[start - 1] in " \n" and (end >= len(block) or block[end] in ".,;:!?)"):
        start -= 1
    return Edit(start, end, "", edit.rule, edit.opens)


def _more(block: str, end: int) -> bool:
    """Something other than white space follows."""
    return end < len(block) and (not block[end].isspace() or _INK.search(block, end) is not None)


def apply(block: str, masked: str, edits: list[Edit]) -> str:
    """The block after edits that are sorted and do not overlap."""
    out: list[str] = []
    size = at = 0
    sites: list[int] = []
    for edit in edits:
        start, new = edit.start, edit.new
        out.append(block[at:start])
        size += start - at
        if start - at < 2 or (block[start - 1] in _GAP and block[start - 2] in _ENDS_ARTICLE):
            sites.append(size)
        at = edit.end
        if edit.opens and block[start] != MASK:
            new, at = _capitalised(new, block, masked, at)
        out.append(new)
        size += len(new)
    out.append(block[at:])
    return _mend_articles("".join(out), sites) if sites else "".join(out)


def _capitalised(new: str, block: str, masked: str, at: int) -> tuple[str, int]:
    if new:
        if new[0].isalpha():
            return new[0].upper() + new[1:], at
        for i, char in enumerate(new):
            if char.isalpha():
                return new[:i] + char.upper() + new[i + 1 :], at
            if char.isdigit():
                break
        return new, at
    word = _NEXT_WORD.match(block, at)
    if word and masked[word.start(1)] != MASK and word.group(1).islower():
        where = word.start(1)
        return block[at:where] + block[where].upper(), where + 1
    return new, at


def _mend_articles(text: str, sites: list[int]) -> str:
    """What was "a highly effective" wants "an" without "highly". `sites`: where an article may stand before an edit."""
    out: list[str] = []
    at = 0
    for site in sites:
        if text[site - 1 : site] not in _GAP or text[site - 2 : site - 1] not in _ENDS_ARTICLE:
            continue
        before = _ARTICLE_BEFORE.search(text, max(at, site - 5), site)
        word = _NEXT_WORD.match(text, site) if before else None
        if not before or not word or before.group(1).lower() == article(word.group(1)):
            continue
        right = article(word.group(1))
        out.append(text[at : before.start(1)])
        out.append(right.capitalize() if before.group(1)[0] == "A" else right)
        at = before.end(1)
    return "".join(out) + text[at:] if out else text
