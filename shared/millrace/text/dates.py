"""Dates and times in one canonical form: `5 March 2024`, `March 5th, 2024` and `2024-03-05` are one. Pure."""

from __future__ import annotations

import re

MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sep sept|october oct|"
        "november nov|december dec".split("|"),
        1,
    )
    for name in names.split()
}
WEEKDAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday".split())

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)

DAY_WORDS = frozenset([*MONTHS, *WEEKDAYS])
"""Words at which a date may begin; none of them is a number."""

IN_DIGITS = re.compile(
    r"(?=\d{1,4}(?:-\d\d-|[/.]\d{1,2}[/.]\d|:\d\d|st|nd|rd|th| ?[ap]\.?m"  # what follows the first digits of any
    r"| (?:of|ja|fe|ma|ap|ju|au|se|oc|no|de)))"
    rf"(?:\b(?P<iso>\d{{4}}-\d\d-\d\d)\b"
    rf"|\b(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<m1>{_MONTH})(?:,? (?P<y1>\d{{4}})\b)?"
    rf"|\b(?P<num>\d{{1,4}}[/.]\d{{1,2}}[/.]\d{{2,4}})\b"
    rf"|\b(?P<clock>\d{{1,2}}:\d\d(?::\d\d)?)(?: ?(?P<ap>[ap]\.?m\b\.?))?"
    rf"|\b(?P<hour>\d{{1,2}}) ?(?P<ap2>[ap]\.?m\b\.?))",
    re.IGNORECASE,
)
IN_WORDS = re.compile(
    rf"\b(?P<m2>{_MONTH}) (?:the )?(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,? (?P<y2>\d{{4}})\b)?"
    rf"|\b(?P<m3>{_MONTH}),? (?P<y3>\d{{4}})\b"
    rf"|\b(?P<day>(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)s?\b"
    rf"|\b(?P<alone>January|February|April|June|July|August|September|October|November|December)\b",
    re.IGNORECASE,
)


def canonical(match: re.Match[str]) -> str | None:
    """One form for every way to write a date or a time; None for what only looks like one."""
    kind = match.lastgroup or ""
    if kind == "iso":
        return str(match[kind])
    if kind == "num":
        return str(match[kind]).replace(".", "/")
    if kind in ("day", "alone"):
        return str(match[kind]).lower() if match.group()[0].isupper() else None
    if kind in ("clock", "ap", "ap2"):
        return _clock(match["clock"] or match["hour"] + ":00", match["ap"] or match["ap2"] or "")
    way = kind[-1]  # in which a month, its day and its year are written
    name, year = str(match[f"m{way}"]), match[f"y{way}"] or "----"
    number = MONTHS.get(name.lower().rstrip("."))
    if number is None or not name[0].isupper():
        return None  # "Auguſt" looks like one to a pattern that minds no case
    day = int(match[f"d{way}"]) if way != "3" else 0
    return f"{year}-{number:02}" + (f"-{day:02}" if day else "")


def _clock(digits: str, half: str) -> str:
    hour, *rest = digits.split(":")
    half = half.lower().replace(".", "")
    shift = 12 if half == "pm" and int(hour) < 12 else -12 if half == "am" and int(hour) == 12 else 0
    return f"{int(hour) + shift:02}:" + ":".join(rest)
