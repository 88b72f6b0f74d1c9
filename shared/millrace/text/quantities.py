"""Numbers, dates, times and units of a text in one canonical form. Pure, linear.

`1,000`, `1000`, `1 thousand` and `one thousand` are one quantity; `$5`, `5 dollars` and `USD 5` are one; `5 March
2024`,
`March 5th, 2024` and `2024-03-05` are one date. What may be a number and may be a phrase ("one of", "first") is soft:
it satisfies a demand and makes none.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from millrace.text.words import unmarked

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
    "one": Decimal(1), "both": Decimal(2), "twice": Decimal(2), "double": Decimal(2), "doubled": Decimal(2),
    "couple": Decimal(2), "pair": Decimal(2), "triple": Decimal(3), "dozen": Decimal(12), "half": Decimal("0.5"),
    "once": Decimal(1), "single": Decimal(1), "quarter": Decimal("0.25"), "thirds": Decimal(3), "third": Decimal(3),
    "first": Decimal(1), "second": Decimal(2), "fourth": Decimal(4), "fifth": Decimal(5), "sixth": Decimal(6),
    "seventh": Decimal(7), "eighth": Decimal(8), "ninth": Decimal(9), "tenth": Decimal(10),
}  # fmt: skip
ORDINAL = {"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}

_UNIT_WORDS = {
    "%": "% percent pct per-cent", "$": "$ dollar dollars usd us$", "€": "€ euro euros eur",
    "£": "£ pound pounds gbp quid", "¥": "¥ yen jpy", "₹": "₹ rupee rupees inr", "cent": "cent cents",
    "km": "km kilometer kilometers kilometre kilometres", "m": "m meter meters metre metres",
    "cm": "cm centimeter centimeters centimetre centimetres", "mm": "mm millimeter millimeters millimetre millimetres",
    "mi": "mi mile miles", "ft": "ft foot feet", "in": "inch inches", "yd": "yd yard yards",
    "kg": "kg kilogram kilograms kilo kilos kilogramme kilogrammes", "g": "g gram grams gramme grammes",
    "mg": "mg milligram milligrams", "mcg": "mcg µg μg microgram micrograms", "lb": "lb lbs", "oz": "oz ounce ounces",
    "t": "ton tons tonne tonnes", "l": "l liter liters litre litres", "ml": "ml milliliter milliliters millilitre "
    "millilitres", "s": "s sec secs second seconds", "ms": "ms millisecond milliseconds",
    "min": "min mins minute minutes", "h": "h hr hrs hour hours", "day": "day days", "week": "week weeks wk wks",
    "month": "month months", "year": "year years yr yrs", "decade": "decade decades", "century": "century centuries",
    "kb": "kb kilobyte kilobytes", "mb": "mb megabyte megabytes", "gb": "gb gigabyte gigabytes",
    "tb": "tb terabyte terabytes", "hz": "hz hertz", "khz": "khz", "mhz": "mhz", "ghz": "ghz", "w": "w watt watts",
    "kw": "kw kilowatt kilowatts", "mw": "mw megawatt megawatts", "kwh": "kwh", "v": "v volt volts", "°c": "°c celsius",
    "°f": "°f fahrenheit", "°": "° degree degrees", "mph": "mph", "kph": "kph km/h kmh", "mmhg": "mmhg", "bpm": "bpm",
    "kcal": "kcal calorie calories", "px": "px pixel pixels", "x": "x times", "bp": "bps bp",
}  # fmt: skip
UNITS = {word: unit for unit, words in _UNIT_WORDS.items() for word in words.split()}
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


def _any_of(words: Iterable[str]) -> str:
    """A pattern for the longest of these: by first letters, since without regard to case each branch is tried."""
    by_letter: dict[str, list[str]] = {}
    for word in sorted(words, key=len, reverse=True):
        by_letter.setdefault(word[0], []).append(re.escape(word[1:]))
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(rests)})" for letter, rests in by_letter.items())


_WORD_NUMBER = _any_of([*ONES, *TENS, *SCALES])
_SOFT_WORD = _any_of(SOFT)
_UNIT_ALT = _any_of(set(UNITS) - set("$€£¥₹"))

_DATE = re.compile(
    rf"\b(?P<iso>\d{{4}}-\d\d-\d\d)\b"
    rf"|\b(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<m1>{_MONTH})(?:,? (?P<y1>\d{{4}})\b)?"
    rf"|\b(?P<m2>{_MONTH}) (?:the )?(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,? (?P<y2>\d{{4}})\b)?"
    rf"|\b(?P<m3>{_MONTH}),? (?P<y3>\d{{4}})\b"
    rf"|\b(?P<num>\d{{1,4}}[/.]\d{{1,2}}[/.]\d{{2,4}})\b"
    rf"|\b(?P<clock>\d{{1,2}}:\d\d(?::\d\d)?)(?: ?(?P<ap>[ap]\.?m\b\.?))?"
    rf"|\b(?P<hour>\d{{1,2}}) ?(?P<ap2>[ap]\.?m\b\.?)"
    rf"|\b(?P<day>(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)s?\b"
    rf"|\b(?P<alone>January|February|April|June|July|August|September|October|November|December)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w)\]-])[-−](?=[$€£¥₹]?\.?\d))?"
    rf"(?P<cur>US\$|[$€£¥₹]|\b(?:USD|EUR|GBP|JPY|INR) ?)?"
    rf"(?:(?P<raw>(?<!\w)\d+(?:\.\d+){{2,}}|(?<!\w)\d+(?:/\d+)+|(?<!\w)\d{{4}}s\b)"
    rf"|(?P<dig>(?<![\w])\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|(?<![\w])\d+(?:\.\d+)?"
    rf"|(?<![\w])\.\d+)(?P<ord>(?:st|nd|rd|th)\b)?"
    rf"|\b(?P<word>(?:{_WORD_NUMBER})(?:(?:[ -]|[ -]and[ -])(?:{_WORD_NUMBER}))*)\b"
    rf"|\b(?P<soft>{_SOFT_WORD})\b|(?P<frac>[½¼¾⅓⅔]))"
    rf"(?:(?P<suf>(?:k|mn|bn|tn|[MBK]|m(?= ))\b)|[ -](?P<scale>hundred|thousand|million|billion|trillion)s?\b)?"
    rf"(?:\)?[ -]?(?P<unit>{_UNIT_ALT})(?![\w]))?",
    re.IGNORECASE,
)
_ASCII_DIGITS = re.compile(r"[0-9][0-9]*")
_DIGITS = re.compile(r"[\d½¼¾⅓⅔](?:(?<![½¼¾⅓⅔])\d+)?")
_PREFIX = re.compile(r"[-−]?(?:US\$|[$€£¥₹]|\b(?:USD|EUR|GBP|JPY|INR) ?)?\.?\Z")
_BEFORE_PREFIX = frozenset("-−$€£¥₹.DRPY")
"""What a prefix ends with, but for the space after a currency's name."""
NUMBER_WORDS = frozenset([*ONES, *TENS, *SCALES, *SOFT])
"""Words at which a number may begin."""
DAY_WORDS = frozenset([*MONTHS, *WEEKDAYS])
"""Words at which a date may begin; none of them is a number."""
_RANGE = re.compile(r"\s?(?:-|–|—|to|and|or|through)\s?")
_FRACTIONS = {"½": "0.5", "¼": "0.25", "¾": "0.75", "⅓": "1/3", "⅔": "2/3"}
_NOUN = re.compile(r"[ -]([A-Za-z]{3,})")


@dataclass(frozen=True)
class Quantity:
    """`value` is a canonical decimal, or the text itself where it is no plain number; `unit` is "" without one."""

    value: str
    unit: str
    text: str
    soft: bool
    noun: str = ""


def read(text: str, numbers: list[int], days: list[int]) -> tuple[dict[str, str], list[Quantity]]:
    """Dates by canonical form and numbers in order. `numbers`, `days`: where NUMBER_WORDS and DAY_WORDS begin."""
    found_dates: dict[str, str] = {}
    found: list[Quantity] = []
    spans: list[tuple[int, int]] = []
    pattern = _ASCII_DIGITS if unmarked(text).isascii() else _DIGITS
    digits = [m.start() for m in pattern.finditer(text)]
    dated, counted = {*digits, *days}, {*digits, *numbers}
    at = 0
    for start in sorted(dated | counted):
        if start < at:
            continue
        date = _DATE.match(text, start) if start in dated else None
        key = _date_key(date) if date else None
        if date and key is not None:
            found_dates.setdefault(key, date.group())
            at = date.end()
            continue
        number = _NUMBER.match(text, _prefixed(text, at, start)) if start in counted else None
        quantity = _quantity(number, text) if number else None
        if number and quantity:
            found.append(quantity)
            spans.append(number.span())
            at = number.end()
    return found_dates, _spread_units(found, spans, text)


def _prefixed(text: str, at: int, start: int) -> int:
    """Where a number's sign or currency begins, at the earliest `at`; `start` without one."""
    last = text[start - 1 : start]
    if last not in _BEFORE_PREFIX and not (last == " " and text[max(0, start - 2)] in _BEFORE_PREFIX):
        return start
    before = _PREFIX.search(text, max(at, start - 6), start)
    return before.start() if before else start


def _date_key(match: re.Match[str]) -> str | None:
    group = match.groupdict()
    if group["iso"]:
        return str(group["iso"])
    if group["num"]:
        return str(group["num"]).replace(".", "/")
    if group["day"] or group["alone"]:
        word = match.group()
        if not word[0].isupper():
            return None
        return str(group["day"] or group["alone"]).lower()
    if group["clock"] or group["hour"]:
        return _clock(group["clock"] or group["hour"] + ":00", group["ap"] or group["ap2"] or "")
    for month, day, year in (("m1", "d1", "y1"), ("m2", "d2", "y2"), ("m3", "", "y3")):
        if group[month]:
            if not group[month][0].isupper():
                return None
            number = MONTHS[group[month].lower().rstrip(".")]
            d, y = (int(group[day]) if day else 0), group[year] or ""
            return f"{y or '----'}-{number:02}" + (f"-{d:02}" if d else "")
    return None


def _clock(digits: str, half: str) -> str:
    hour, *rest = digits.split(":")
    half = half.lower().replace(".", "")
    shift = 12 if half == "pm" and int(hour) < 12 else -12 if half == "am" and int(hour) == 12 else 0
    return f"{int(hour) + shift:02}:" + ":".join(rest)


def _quantity(match: re.Match[str], text: str) -> Quantity | None:
    sign, cur, raw, dig, ordinal, word, soft_word, frac, suf, scale, unit_word = match.groups()
    found = match.group()
    unit = (UNITS.get(cur.strip().lower(), "") if cur else "") or (
        UNITS.get(unit_word.lower(), "") if unit_word else ""
    )
    if raw:
        return Quantity(raw, unit, found, False)
    times = (SCALES.get(scale.lower(), 1) if scale else 1) * (SUFFIX.get(suf.lower(), 1) if suf else 1)
    value = _FRACTIONS[frac] if frac else _digits(dig, times) if dig else _worded(soft_word or word, times)
    if value is None:
        return None
    if sign:
        value = f"-{value}"
    soft = bool(soft_word) or (bool(word) and word.lower() == "one" and not (unit or scale))
    if ordinal or (soft_word and soft_word.lower() in ORDINAL):
        return Quantity(value, "", found, soft)
    noun = None if unit else _NOUN.match(text, match.end())
    return Quantity(value, unit, found, soft, noun.group(1).lower() if noun else "")


def _digits(digits: str, times: int) -> str | None:
    if len(digits) < 15 and digits.isdecimal():
        return str(int(digits) * times)
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
        left, right = found[i], found[i + 1]
        between = text[spans[i][1] : spans[i + 1][0]]
        if len(between) > 9 or not _RANGE.fullmatch(between):
            continue
        if left.soft or right.soft:
            continue
        if right.unit and not left.unit:
            found[i] = Quantity(left.value, right.unit, left.text, left.soft)
        elif left.unit in ("$", "€", "£", "¥", "₹") and not right.unit:
            found[i + 1] = Quantity(right.value, left.unit, right.text, right.soft)
    return found
