"""Numbers of a text in one canonical form, told apart from its dates. Pure, linear.

`1,000`, `1000`, `1 thousand` and `one thousand` are one quantity; `$5`, `5 dollars` and `USD 5` are one. What may be a
number and may be a phrase ("one of", "first", "once you go") is soft: it satisfies a demand and makes none.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NamedTuple

from millrace.text import bounds, dates
from millrace.text.places import Mark
from millrace.text.units import SPEEDS, UNITS, per
from millrace.text.words import STOP

ONES = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
TENS = {w: 10 * (i + 2) for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split())}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SUFFIX = {"k": 1000, "m": 10**6, "mn": 10**6, "mm": 10**6, "b": 10**9, "bn": 10**9, "tn": 10**12}
SOFT = {
    "one": Decimal(1), "both": Decimal(2), "couple": Decimal(2), "pair": Decimal(2), "dozen": Decimal(12),
    "single": Decimal(1), "half": Decimal("0.5"), "halved": Decimal("0.5"), "halving": Decimal("0.5"),
    "halve": Decimal("0.5"),
    "quarter": Decimal("0.25"), "thirds": Decimal(3), "third": Decimal(3), "first": Decimal(1), "second": Decimal(2),
    "fourth": Decimal(4), "fifth": Decimal(5), "sixth": Decimal(6), "seventh": Decimal(7), "eighth": Decimal(8),
    "ninth": Decimal(9), "tenth": Decimal(10),
}  # fmt: skip
TIMES = {
    word: value
    for value, words in (
        (1, "once"), (2, "twice twofold double doubled doubles doubling"),
        (3, "thrice threefold triple tripled triples tripling"),
        (4, "fourfold quadruple quadrupled quadruples quadrupling"), (5, "fivefold"), (10, "tenfold"),
    )
    for word in words.split()
}  # fmt: skip
"""How many times; these have the unit of "2 times"."""
SOFT |= {word: Decimal(value) for word, value in TIMES.items()}
ORDINAL = {"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}


def _any_of(words: Iterable[str]) -> str:
    """A pattern for the longest of these: by first letters, since without regard to case each branch is tried."""
    by_letter: dict[str, list[str]] = {}
    for word in sorted(words, key=len, reverse=True):
        by_letter.setdefault(word[0], []).append(re.escape(word[1:]))
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(rests)})" for letter, rests in by_letter.items())


_WORD_NUMBER = _any_of([*ONES, *TENS, *SCALES])
A_NUMBER = rf"[-−]?[$€£¥₹]?(?:\d|(?:{_WORD_NUMBER}|half|twice)\b)"
"""A pattern for what a number may begin with."""
_SOFT_WORD = _any_of(SOFT)
_UNIT_ALT = _any_of(set(UNITS) - set("$€£¥₹"))

_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w)\]-])[-−](?=[$€£¥₹]?\.?\d))?"
    rf"(?P<cur>US\$|[$€£¥₹]|\b(?:USD|EUR|GBP|JPY|INR) ?)?"
    rf"(?:(?P<raw>(?<!\w)\d+(?:\.\d+){{2,}}|(?<!\w)\d+(?:/\d+)+|(?<!\w)\d{{4}}s\b)"
    rf"|(?P<dig>(?<![\w])\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|(?<![\w])\d+(?:\.\d+)?"
    rf"|(?<![\w])\.\d+)(?P<ord>(?:st|nd|rd|th)\b)?"
    rf"|\b(?P<word>(?:{_WORD_NUMBER})(?:(?:[ -]|[ -]and[ -])(?:{_WORD_NUMBER}))*)\b"
    rf"|\b(?P<soft>{_SOFT_WORD})\b|(?P<frac>[½¼¾⅓⅔]))"
    rf"(?:(?P<suf>(?:k|mn|bn|tn|[MBK]|m(?= ))\b)|[ -](?P<scale>hundred|thousand|million|billion|trillion)s?\b)?",
    re.IGNORECASE,
)
_PLAIN_NUMBER = re.compile(
    r"([$€£¥₹]?)(?<!\w)([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?)"
    r"(?=[.,](?!\d)|[;:!?)\n%]| (?![hmtbHMTB])|\Z)"
)
"""What most numbers are: `_NUMBER` would find a sign of money, the same digits and nothing else."""
_UNIT = re.compile(rf"\)?[ -]?(?:or (?:more|less|fewer) )?(?P<unit>{_UNIT_ALT})(?![\w])", re.IGNORECASE)
_UNIT_BEGINS = re.compile(r"\)?[ -]?([^\W\d_]+|\S)")
_UNIT_BEGINNINGS = frozenset(match.group(1) for word in UNITS for match in [_UNIT_BEGINS.match(word)] if match) | {"or"}
"""The letters or the mark that a unit begins with, and what may lead to one."""
_WHOLE_UNITS = {"%"} | {
    word
    for word in UNITS
    if word.isalpha() and word.isascii()
    if not any(longer.startswith(word) and not longer[len(word) :][:1].isalpha() for longer in {*UNITS} - {word})
}
"""Units that no other goes on from but by a letter: where the word is one of these, it is the unit."""
_ASCII_DIGITS = bytes(48 if 48 <= n <= 57 else 32 for n in range(256))
"""A nought for each ASCII digit, else a space."""
_DIGITS = re.compile(r"[\d½¼¾⅓⅔](?:(?<![½¼¾⅓⅔])\d+)?")
_PREFIX = re.compile(r"[-−]?(?:US\$|[$€£¥₹]|\b(?:USD|EUR|GBP|JPY|INR) ?)?\.?\Z")
_BEFORE_PREFIX = frozenset("-−$€£¥₹.DRPY")
"""What a prefix ends with, but for the space after a currency's name."""
NUMBER_WORDS = frozenset([*ONES, *TENS, *SCALES, *SOFT])
"""Words at which a number may begin."""
_RANGE = re.compile(r"\s?(?:-|–|—|to|and|or|through)\s?")
_FRACTIONS = {"½": "0.5", "¼": "0.25", "¾": "0.75", "⅓": "1/3", "⅔": "2/3"}
_RATIOS = {"1/2": "0.5", "1/4": "0.25", "3/4": "0.75"}
_NOUN = re.compile(r"[ -]([A-Za-z]{3,})")
_ABOUT = re.compile(
    r" (?:of|in|on|for|from|at|to) (?:(?:the|a|an|our|your|its|their|his|her|early|late) )?([A-Za-z]{3,}|\d{4}\b)"
)
_SHARE = re.compile(
    r"(?:(?P<n>one|two|three|four|five|seven|nine)[ -])?(?P<d>half|thirds?|quarters?|fifths?|sixths?|eighths?|tenths?)"
    r"(?![\w-])(?P<of> of\b)?(?P<all> (?:the|an?|its|their|his|her|our|your|my|all|as)\b(?! (?:dozen|[mb]illion))"
    r"|(?=\s?(?:[.,;:!?)]|\Z)))?",
    re.IGNORECASE,
)
"""A part of something, where words before or after say that it is one: a third of them, by half, no third man."""
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_SHARED = re.compile(r"\b(?:an?|nearly|almost|about|around|roughly|than|over|under|only|least|most|by|in|to) \Z", re.I)
_NOT_SHARED = re.compile(
    r"(?:\b(?:first|second|third|fourth|other|latter|former|one|each|every|this|that|last|next|better|and a) |-)\Z",
    re.I,
)
_IDIOM_BEFORE = re.compile(r"\b(?:think|thinks|thinking|thought|once or) \Z", re.IGNORECASE)
_IDIOM_AFTER = re.compile(r"(?:-| (?:down|over|up|back|check|edged|as)\b(?! (?:much|many|fast|large|long)\b))")
_WHOLE_AFTER = re.compile(r" (?:the|its|their|his|her|our|your|my|that|what)\b")


class Quantity(NamedTuple):
    """`value` is a canonical decimal, or the text itself where it is no plain number; `unit` is "" without one.

    `noun`: what is counted; `about`: what the amount is of, in or for; `per`: "kg/day" of 5 mg/kg daily; `bound`: which
    of > ≥ < ≤ is said of it; `near`: the words around it;
    `upto`: the other end of a range that begins here.
    """

    value: str
    unit: str
    text: str
    soft: bool
    noun: str = ""
    about: str = ""
    per: str = ""
    bound: str = ""
    near: str = ""
    upto: str = ""

    def may_be_bound(self) -> bool:
        """Some word or sign around the number may set it a bound in a way that `bound` does not know."""
        return "?" in self.bound or bounds.HINT.search(self.near.replace(self.text, " ")) is not None


def read(
    text: str, numbers: list[int], days: list[int], beyond: str
) -> tuple[dict[str, str], list[Quantity], list[Mark]]:
    """Dates by canonical form, numbers in order, the places of both.

    `numbers`, `days`: where NUMBER_WORDS and dates.DAY_WORDS begin; `beyond`: what of the text is not ASCII, or more.
    """
    found_dates: dict[str, str] = {}
    places: list[Mark] = []
    found: list[Quantity] = []
    spans: list[tuple[int, int]] = []
    digits = [m.start() for m in _DIGITS.finditer(text)] if beyond and _DIGITS.search(beyond) else _ascii_digits(text)
    in_words, of_days = {*numbers}, {*days}
    at = 0
    for start in sorted([*digits, *numbers, *days]):
        if start < at or (start and text[start].isdecimal() and ((last := text[start - 1]).isalnum() or last == "_")):
            continue  # within what is read already, or the figure of a name: Q3
        named = start in in_words
        date = None if named else (dates.IN_WORDS if start in of_days else dates.IN_DIGITS).match(text, start)
        if date and (key := dates.canonical(date)) is not None:
            found_dates.setdefault(key, date.group())
            places.append((start, date.end(), "date", key))
            at = date.end()
            continue
        counting = _share(text, start) if named else None
        if not counting and start not in of_days:
            counting = _number(text, _prefixed(text, at, start))
        if counting:
            found.append(counting[0])
            spans.append(counting[1])
            at = counting[1][1]
    found = _spread_units(found, spans, text)
    places += [(*span, "number", f"{x.value} {x.unit}") for x, span in zip(found, spans, strict=True) if not x.soft]
    return found_dates, found, places


def _ascii_digits(text: str) -> list[int]:
    """Where runs of digits begin; one character is found faster than one of ten."""
    digits = text.encode("ascii", "replace").translate(_ASCII_DIGITS)
    found: list[int] = []
    end = 0
    while end >= 0 and (at := digits.find(b"0", end)) >= 0:
        found.append(at)
        end = digits.find(b" ", at)
    return found


def _prefixed(text: str, at: int, start: int) -> int:
    """Where a number's sign or currency begins, at the earliest `at`; `start` without one."""
    last = text[start - 1 : start]
    if last not in _BEFORE_PREFIX and not (last == " " and text[max(0, start - 2)] in _BEFORE_PREFIX):
        return start
    before = _PREFIX.search(text, max(at, start - 6), start)
    return before.start() if before else start


def _number(text: str, start: int) -> tuple[Quantity, tuple[int, int]] | None:
    """A number, its unit, and where both stand."""
    plain = _PLAIN_NUMBER.match(text, start)
    match = plain or _NUMBER.match(text, start)
    if not match:
        return None
    end = match.end()
    begins = _UNIT_BEGINS.match(text, end)
    unit = ""
    word = begins.group(1).lower() if begins else ""
    if begins and word in _WHOLE_UNITS and begins.group(1).isascii():
        if not ((after := text[begins.end() : begins.end() + 1]).isalnum() or after == "_"):
            unit, end = UNITS[word], begins.end()
    elif begins and (word in _UNIT_BEGINNINGS or not begins.group(1).isascii()):
        if found := _UNIT.match(text, end):
            unit, end = UNITS.get(found.group(1).lower(), ""), found.end()
    if plain and (value := _digits(plain.group(2), 1)) is not None:
        unit = UNITS.get(plain.group(1), "") or unit
        return _related(value, unit, text[start:end], False, text, start, end), (start, end)
    quantity = _quantity(match, unit, text, end)
    return (quantity, (start, end)) if quantity else None


def _quantity(match: re.Match[str], unit: str, text: str, end: int) -> Quantity | None:
    sign, cur, raw, dig, ordinal, word, soft_word, frac, suf, scale = match.groups()
    start = match.start()
    found = text[start:end]
    if cur:
        unit = UNITS.get(cur.strip().lower(), "") or unit
    if raw:
        return Quantity(_RATIOS.get(raw, raw), unit, found, False)
    times = (SCALES.get(scale.lower(), 1) if scale else 1) * (SUFFIX.get(suf.lower(), 1) if suf else 1)
    value = _FRACTIONS[frac] if frac else _digits(dig, times) if dig else _worded(soft_word or word, times)
    if value is None:
        return None
    if sign:
        value = f"-{value}"
    soft = bool(word) and word.lower() == "one" and not (unit or scale)
    if soft_word:
        soft = not _firm(text, soft_word.lower(), match.start("soft"), match.end("soft"))
        unit = unit or ("x" if soft_word.lower() in TIMES else "")
    if ordinal or (soft_word and soft_word.lower() in ORDINAL):
        return Quantity(value, "", found, soft)
    if soft and unit != "x":
        return Quantity(value, unit, found, soft)
    return _related(value, unit, found, soft, text, start, end)


def _firm(text: str, word: str, start: int, end: int) -> bool:
    """The word is a number and no phrase: twice a day, doubled, double the price; not think twice, double down."""
    if word in ("halve", "halved", "halving"):
        return True
    if word not in TIMES or word == "once" or _IDIOM_AFTER.match(text, end):
        return False
    if word in ("double", "triple", "quadruple"):
        return _WHOLE_AFTER.match(text, end) is not None
    return not _IDIOM_BEFORE.search(text, max(0, start - 10), start)


def _share(text: str, start: int) -> tuple[Quantity, tuple[int, int]] | None:
    """A part of a whole, and where it stands: half the men, two thirds, a quarter of it."""
    match = _SHARE.match(text, start)
    if not match:
        return None
    many, part, of, whole = match.groups()
    whole = whole is not None
    word = part.lower()
    before = max(0, start - 10)
    if many is None:
        sure = bool(of) if word != "half" else bool(of) or whole
        near = _SHARED.search(text, before, start)
        if word == "half":
            sure = (sure or bool(near)) and not _NOT_SHARED.search(text, before, start)
        else:
            sure = sure and bool(near) and not word.endswith("s")
    else:
        sure = bool(of) if many.lower() == "one" else word.endswith("s")
    of_many = _PARTS.get(word.removesuffix("s"))
    if not sure or of_many is None:  # "ſixth" is none, though it matches
        return None
    share = Fraction(ONES[(many or "one").lower()], of_many)
    value = str(share) if share.denominator % 3 == 0 else _plain(Decimal(share.numerator) / Decimal(share.denominator))
    return _related(value, "", match.group(), False, text, start, match.end("d")), match.span()


def _related(value: str, unit: str, found: str, soft: bool, text: str, start: int, end: int) -> Quantity:
    """A quantity with what the words around it say of it."""
    counted = _NOUN.match(text, end)
    word = counted.group(1) if counted else ""
    after = counted.end() if counted and not unit else end
    of_what = _ABOUT.match(text, after)
    of = of_what.group(1) if of_what else word if unit and word.lower() not in ("per", "each", "every") else ""
    by = per(text, end) or (per(text, after) if after != end else "")
    if speed := SPEEDS.get((unit, by)):
        unit, by = speed, ""
    said = bounds.said(text, start, end)
    near = text[max(0, start - 40) : end + 40]
    noun, about = "" if unit else word.lower(), "" if of in STOP else of.lower()
    return Quantity(value, unit, found, soft, noun, about, by, said, near)


def _digits(digits: str, times: int) -> str | None:
    if len(digits) < 15 and digits.isdecimal():
        return str(int(digits) * times)
    whole, dot, part = digits.replace(",", "").partition(".")
    if times == 1 and len(digits) < 15 and digits.isascii():
        return f"{int(whole or 0)}.{part}".rstrip("0").rstrip(".") if dot else str(int(whole))
    try:
        return _plain(Decimal(digits.replace(",", "")) * times)
    except InvalidOperation:
        return None


@functools.lru_cache(maxsize=1_024)
def _worded(words: str, times: int) -> str:
    low = words.lower()
    return _plain((SOFT[low] if low in SOFT else Decimal(words_value(low))) * times)


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def words_value(words: str) -> int:
    """The value of number words: "two hundred and five thousand" is 205000."""
    total = current = 0
    for word in re.split(r"[ -]", words.lower()):
        if word in ONES:
            current += ONES[word]
        elif word in TENS:
            current += TENS[word]
        elif word == "hundred":
            current = (current or 1) * 100
        elif word in SCALES:
            total, current = total + (current or 1) * SCALES[word], 0
    return total + current


def _spread_units(found: list[Quantity], spans: list[tuple[int, int]], text: str) -> list[Quantity]:
    """A range says its unit once for both: "10 to 20%", "$10-20"."""
    for i in range(len(found) - 1):
        end, start = spans[i][1], spans[i + 1][0]
        if start - end > 9 or not _RANGE.fullmatch(text, end, start):
            continue
        left, right = found[i], found[i + 1]
        if left.soft or right.soft:
            continue
        if text[end:start].strip() not in ("and", "or"):
            found[i] = left = left._replace(upto=right.value)
        if right.unit and not left.unit:
            found[i] = left._replace(unit=right.unit, noun="")
        elif left.unit in ("$", "€", "£", "¥", "₹") and not right.unit:
            found[i + 1] = right._replace(unit=left.unit, noun="")
    return found
