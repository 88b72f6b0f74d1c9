"""Whether a number is the least, the most, or what something exceeds or stays below. Pure.

"No fewer than", "at least" and "or more" say the same; so do "not more than", "up to" and "must not exceed".
"""

from __future__ import annotations

import re

NOT = r"\b(?:not|no|never|cannot)|n['’]t"
_GO = r"(?:(?:be|to|go|get|rise|fall|drop|cost|last|take|stay) ){0,2}"
MORE = (
    rf"{_GO}(?:(?:more|greater|larger|higher|older|longer) than|over|above|exceed(?:s|ed|ing)?|in excess of"
    r"|upwards of|beyond)"
)
LESS = rf"{_GO}(?:(?:fewer|less|lower|smaller|younger|shorter) than|under|below)"
_BEFORE = re.compile(
    r"(?=\b|[n≥≤<>\s])"  # where any of these begins
    rf"(?:(?P<no>{NOT}) )?(?:\b(?P<more>{MORE})|\b(?P<less>{LESS})"
    r"|(?P<least>\bat least|\bminimum(?: of)?|\bas (?:few|little) as|≥|>=)"
    r"|(?P<most>\bat most|\bup to|\bmaximum(?: of)?|\bas (?:many|much) as|≤|<=)"
    r"|(?<=[\w)\]])\s?(?:(?P<gt>>)|(?P<lt><)))\s?(?:about |a |an )?\Z",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"(?P<plus>\+)|(?: [a-z]{3,20})?,? (?:(?P<least>or (?:more|above|higher|greater|over|older|longer))"
    r"|(?P<most>or (?:less|fewer|below|lower|under|younger|shorter))"
    r"|at (?:(?P<least2>least)|(?P<most2>most))(?=\s?(?:[.,;:!?)]|\Z)))"
)
HINT = re.compile(
    r"\b(?:least|most|more|less|fewer|over|under|above|below|up|max\w*|minim\w*|exceed\w*|beyond|within|excess|limit\w*|"
    r"cap(?:s|ped)?|only|just|top(?:s|ped)?|surpass\w*|upwards?|min|or|than|until|from|between|to|range|ceiling|floor|threshold|almost|nearly|long|far)\b|[<>≤≥+~–-]",
    re.IGNORECASE,
)
_WORDS = frozenset(
    "than over above under below exceed exceeds exceeded exceeding beyond least most minimum maximum".split()
)
_LINKS = frozenset("of to as about a an".split())
_LINKED = _WORDS | frozenset("up excess upwards many much few little".split())
"""What ends a bound in words, and what may stand between it and the number."""
_REACH = 28
"""Characters after a number within which a bound begins that follows it."""
_SIGNS = {
    "more": ">", "gt": ">", "less": "<", "lt": "<", "least": "≥", "least2": "≥", "most": "≤", "most2": "≤",
    "plus": ">≥",
}  # fmt: skip
_OPPOSITE = {">": "≤", "<": "≥", "≥": "<", "≤": ">"}


def said(text: str, start: int, end: int) -> str:
    """Which of > ≥ < ≤ stands before the number or after it; with "?" what may be no bound: over 5 years."""
    near = text[max(0, start - 40) : start]
    if _ends(near) and (match := _BEFORE.search(near)):
        kind = next(name for name, words in match.groupdict().items() if words and name != "no")
        sign = _OPPOSITE[_SIGNS[kind]] if match.group("no") else _SIGNS[kind]
        sure = match.group("no") or "than" in match.group() or kind in ("least", "most")
        return sign if sure else f"{sign}?"
    after = text[end : end + _REACH]
    match = _AFTER.match(text, end) if after[:1] == "+" or " or " in after or " at " in after else None
    if not match and ("+" in text[start:end] or " " in text[start:end]):
        match = _AFTER.search(text, start, end)
    return next(_SIGNS[name] for name, words in match.groupdict().items() if words) if match else ""


def _ends(near: str) -> bool:
    words = near.rsplit(None, 1)
    if not words:
        return False
    last = words[-1].lower()
    if last in _LINKS:
        return near.rsplit(None, 2)[-2].lower() in _LINKED if len(words) > 1 else False
    return last in _WORDS or last[-1] in "<>≤≥="
