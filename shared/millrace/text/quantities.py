"""Numbers, dates, times and units of a text in one canonical form. Pure, linear.

`1,000`, `1000`, `1 thousand` and `one thousand` are one quantity; `$5`, `5 dollars` and `USD 5` are one; `5 March
2024`,
`March 5th, 2024` and `2024-03-05` are one date. What may be a number and may be a phrase ("one of", "first") is soft:
it satisfies a demand and makes none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

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
_WORD_NUMBER = "|".join(sorted([*ONES, *TENS, *SCALES], key=len, reverse=True))
_SOFT_WORD = "|".join(sorted(SOFT, key=len, reverse=True))
_UNIT_ALT = "|".join(re.escape(u) for u in sorted(UNITS, key=len, reverse=True) if u not in ("$", "€", "£", "¥", "₹"))

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
_DIGITS = re.compile(r"\d+|[½¼¾⅓⅔]")
_PREFIX = re.compile(r"[-−]?(?:US\$|[$€£¥₹]|\b(?:USD|EUR|GBP|JPY|INR) ?)?\.?$")
NUMBER_WORDS = frozenset([*ONES, *TENS, *SCALES, *SOFT, *MONTHS, *WEEKDAYS])
"""Words at which a number or a date may begin."""
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


def read(text: str, word_starts: list[int]) -> tuple[dict[str, str], list[Quantity]]:
    """Dates by canonical form and numbers in order. `word_starts`: where NUMBER_WORDS begin, ascending."""
    found_dates: dict[str, str] = {}
    found: list[Quantity] = []
    spans: list[tuple[int, int]] = []
    starts = sorted(word_starts + [m.start() for m in _DIGITS.finditer(text)])
    at = 0
    for start in starts:
        if start < at:
            continue
        date = _DATE.match(text, start)
        key = _date_key(date) if date else None
        if date and key is not None:
            found_dates.setdefault(key, date.group())
            at = date.end()
            continue
        before = _PREFIX.search(text, max(at, start - 6), start)
        number = _NUMBER.match(text, before.start() if before else start)
        quantity = _quantity(number, text) if number else None
        if number and quantity:
            found.append(quantity)
            spans.append(number.span())
            at = number.end()
    return found_dates, _spread_units(found, spans, text)


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
    group = match.groupdict()
    currency = UNITS.get((group["cur"] or "").strip().lower(), "")
    unit = currency or UNITS.get((group["unit"] or "").lower(), "")
    noun = _NOUN.match(text, match.end())
    bound = noun.group(1).lower() if noun and not unit else ""
    if group["raw"]:
        return Quantity(group["raw"], unit, match.group(), False)
    soft = bool(group["soft"]) or ((group["word"] or "").lower() == "one" and not (unit or group["scale"]))
    value = _value(group)
    if value is None:
        return None
    sign = "-" if group["sign"] else ""
    if group["ord"] or (group["soft"] or "").lower() in ORDINAL:
        return Quantity(f"{sign}{value}", "", match.group(), soft)
    return Quantity(f"{sign}{value}", unit, match.group(), soft, bound)


def _value(group: dict[str, str | None]) -> str | None:
    scale = SCALES.get((group["scale"] or "").lower(), 1) * SUFFIX.get((group["suf"] or "").lower(), 1)
    if group["frac"]:
        return _FRACTIONS[group["frac"]]
    if group["soft"]:
        return _plain(SOFT[group["soft"].lower()] * scale)
    if group["word"]:
        return _plain(Decimal(words_value(group["word"])) * scale)
    try:
        return _plain(Decimal((group["dig"] or "").replace(",", "")) * scale)
    except InvalidOperation:
        return None


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
