"""Units of measure by any of their names, and what an amount is counted by: per day, per kg. Pure."""

from __future__ import annotations

import re

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
    "kcal": "kcal calorie calories", "px": "px pixel pixels", "x": "x times fold occasions", "bp": "bps bp",
    "acre": "acre acres", "ha": "ha hectare hectares", "mol": "mol mole moles", "mmol": "mmol millimole millimoles",
    "µmol": "µmol μmol umol micromole micromoles", "nmol": "nmol", "iu": "iu", "ng": "ng nanogram nanograms",
    "pg": "pg picogram picograms", "dl": "dl deciliter deciliters decilitre decilitres",
    "µl": "µl μl microliter microliters microlitre microlitres", "nm": "nm nanometer nanometers nanometre nanometres",
    "µm": "µm μm micrometer micrometers micrometre micrometres micron microns", "gal": "gal gallon gallons",
    "pint": "pint pints", "quart": "quart quarts", "cup": "cup cups", "tbsp": "tbsp tablespoon tablespoons",
    "tsp": "tsp teaspoon teaspoons", "knot": "knot knots", "kpa": "kpa kilopascal kilopascals", "psi": "psi",
    "kj": "kj kilojoule kilojoules", "mah": "mah", "amp": "amp amps ampere amperes", "kv": "kv kilovolt kilovolts",
    "mv": "mv millivolt millivolts", "gw": "gw gigawatt gigawatts", "mwh": "mwh", "gwh": "gwh", "ppm": "ppm",
    "ppb": "ppb", "rpm": "rpm", "mbps": "mbps", "gbps": "gbps", "kbps": "kbps", "bit": "bit bits",
    "byte": "byte bytes", "pb": "petabyte petabytes", "µs": "µs μs microsecond microseconds",
    "ns": "ns nanosecond nanoseconds", "fortnight": "fortnight fortnights", "franc": "franc francs chf",
    "rouble": "rouble roubles ruble rubles", "peso": "peso pesos", "yuan": "yuan cny rmb", "zloty": "zloty zlotys pln",
    "krona": "krona kronor krone kroner", "lira": "lira", "baht": "baht", "shekel": "shekel shekels",
}  # fmt: skip
_LENGTHS = "km m cm mm mi ft in yd".split()
UNITS = {word: unit for unit, words in _UNIT_WORDS.items() for word in words.split()}
UNITS |= {"per cent": "%", "percentage point": "pp", "percentage points": "pp", "megawatt": "mw", "megawatts": "mw"}
UNITS |= {"percentage-point": "pp", "percentage-points": "pp"}
_POWERS = (
    ("²", ("square {}", "square-{}", "sq {}", "sq. {}", "{}²", "{}2")),
    ("³", ("cubic {}", "cubic-{}", "cu {}", "{}³", "{}3")),
)
UNITS |= {
    form: f"{unit}{power}"
    for unit in _LENGTHS
    for word in _UNIT_WORDS[unit].split()
    for power, forms in _POWERS
    for form in (form.format(word) for form in forms)
}
_PERIODS = {
    "annum": "year", "capita": "person", "head": "person", "people": "person", "persons": "person", "hourly": "h",
    "daily": "day", "nightly": "night", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year",
    "annually": "year",
}  # fmt: skip
_PER = re.compile(
    r"(?:/| per (?:each )?)([A-Za-zµμ]{1,15})\b"
    r"|(?: an?| every| each) (minute|hour|day|night|week|fortnight|month|quarter|year)\b(?! (?:ago|later|earlier)\b)"
    r"| (hourly|daily|nightly|weekly|monthly|quarterly|yearly|annually)\b",
    re.IGNORECASE,
)
_PER_BEGINS = frozenset("paehdnwmqyPAEHDNWMQY")
"""What follows the space of any."""
SPEEDS = {("mi", "h"): "mph", ("km", "h"): "kph"}


def per(text: str, end: int) -> str:
    """What it is counted by: "kg/day" of "5 mg/kg a day"."""
    if text[end : end + 1] != "/" and text[end + 1 : end + 2] not in _PER_BEGINS:
        return ""
    found: list[str] = []
    while len(found) < 3 and (match := _PER.match(text, end)):
        word = (match.group(1) or match.group(2) or match.group(3)).lower()
        found.append(_PERIODS.get(word) or UNITS.get(word, word))
        end = match.end()
    return "/".join(found)
