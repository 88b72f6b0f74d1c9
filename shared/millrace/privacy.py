"""Personal data in a text: where it stands, and the text without it. Pure; phonenumbers, python-stdnum.

What has a checksum or a grammar is found by it: e-mail, telephone (phonenumbers, on what looks like one), card
(Luhn), IBAN, US, British and German numbers of a person, IP address, date of birth, street address. Names of people
are found by what stands round them (a title, a greeting, "my name is", "Patient:") and by common given names with a
surname; a name once found is found wherever it stands again in the same data point.

A mask is `[EMAIL_1]`: the kind, and a number that is the same for the same value on both sides of a pair. Recall is
measured on made-up texts with known spans in `tests/millrace/test_privacy.py`. A name that nothing announces and no
list knows is not found: masking lowers a risk, it does not end it.

The libraries are imported by who masks: their tables take 30 ms to load.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .text.words import GIVEN_NAMES, STOP

KINDS: Final = ("email", "iban", "card", "person_number", "ip", "birth_date", "address", "phone", "name")
REGIONS: Final = ("US", "GB", "DE", "FR")
"""Where a telephone number without a country code may be from."""


@dataclass(frozen=True, order=True)
class Span:
    start: int
    end: int
    kind: str


_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,24}\b")
_PHONE = re.compile(r"(?<![\w.])(?:\+|00)?\(?\d[\d ()./\u2011-]{5,20}\d(?!\w)")
_US_PHONE = re.compile(r"(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}")
_CARD = re.compile(r"(?<![\w-])(?:\d[ -]?){12,18}\d(?![\w-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_PERSON = re.compile(
    r"(?<![\w-])(?<!\+\d )(?<!\+\d\d )"
    r"(?:\d{3}-\d{2}-\d{4}|\d{3}[ -]?\d{3}[ -]?\d{4}|\d{2} ?\d{3} ?\d{3} ?\d{3})(?![\w-])"
)
_NINO = re.compile(r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b")
_IP = re.compile(
    r"(?<![\w.:])(?<!ersion )(?<!elease )(?<!\bv)"
    r"(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4})(?![\w:]|\.\d)"
)
_DAY = (
    r"(?:\d{1,2}[./ -]\d{1,2}[./ -]\d{2,4}|\d{4}-\d\d-\d\d"
    r"|\d{1,2}(?:st|nd|rd|th)?\.? [A-Z]\w{2,9},? \d{4}|[A-Z]\w{2,9} \d{1,2},? \d{4})"
)
_BIRTH = re.compile(rf"(?i:\b(?:born(?: on)?|date of birth|d\.?o\.?b\.?|geboren am|geb\.)[ :]{{1,3}})({_DAY})")
_STREET = r"Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Place|Pl|Square|Sq|Terrace|Close"
_ADDRESS = re.compile(
    rf"\b\d{{1,5}}[A-Za-z]? (?:[A-Z][\w'’.-]{{1,40}} ){{1,3}}(?:{_STREET})\b\.?"
    r"|\b[A-ZÄÖÜ][\wäöüß-]{0,40}(?:straße|strasse|weg|gasse|allee|platz) \d{1,4}[a-z]?\b"
)
_WORD = r"[A-ZÀ-ÖØ-ÞŠŽ][\w'’À-ÿ-]{0,40}[a-zà-ÿ]"
_LAST = rf"(?:(?:van|von|de|der|den|la|di|da|del|al|el|bin|ter)[ ]){{0,3}}(?:[A-Z]\.[ ])?{_WORD}"
_FULL = rf"{_WORD}(?:[ ]{_LAST}){{0,3}}"
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Herrn?|Frau|Madame|Mme|Monsieur|Señora?|Sra?|Nurse)\.?[ ]"
_TITLED = re.compile(rf"\b{_TITLE}({_FULL})")
_ANNOUNCED = re.compile(
    r"(?i:\b(?:my name is|her name is|his name is|name's|i am called|ich heiße|je m'appelle|signed,?|regards,|"
    r"sincerely,|yours,|thanks,|grüßen,?|patient|client|customer|contact|employee|(?:full )?name|attn|from)"
    r"\s*:?\s{0,3})"
    rf"({_FULL})"
)
_GREETED = re.compile(
    rf"(?m:(?:^|(?<=[.!?\n] ))(?:Dear|Hi|Hello|Hey|Lieber?|Hallo|Bonjour|Hola)[ ](?:{_TITLE})?)({_FULL})(?=[,!.\n])"
)
_BORN = re.compile(rf"\b({_FULL}),? (?:was )?born\b")
_GIVEN = re.compile(rf"\b({_WORD})[ ]({_LAST})")
_NOT_NAMES = frozenset(
    """africa america argentina asia australia austria belgium berlin boston brazil britain california canada chicago
    chile china colombia denmark egypt england europe finland france germany greece india indonesia iran iraq ireland
    israel italy japan kenya korea london madrid mexico moscow netherlands nigeria norway pakistan paris peru poland
    portugal rome russia scotland seattle singapore spain stockholm sweden switzerland sydney texas tokyo toronto turkey
    ukraine vietnam wales washington zealand amazon apple google microsoft facebook netflix tesla toyota samsung ibm
    intel nvidia oracle sony nokia siemens team all everyone sir madam customer patient support colleagues friends there
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
    october november december dear hello regards thanks please""".split()
)
_GIVEN_NAMES = GIVEN_NAMES - _NOT_NAMES
_TOKEN = re.compile(r"\w+")
_LONGEST = 200_000
"""Characters that are looked at; no text of a data point is longer."""


def find(text: str, kinds: Iterable[str] = KINDS, known: Sequence[str] = ()) -> list[Span]:
    """Spans in order, none over another: of two that meet the earlier of KINDS stands. `known`: names to find."""
    wanted = set(kinds)
    taken: list[Span] = []
    for kind in KINDS:
        if kind in wanted:
            _take(taken, _FINDERS[kind](text[:_LONGEST]))
    if "name" in wanted:
        _take(taken, _again(text, known))
    return taken


def names(text: str) -> list[str]:
    """The names of people that stand in a text, the longest first."""
    found = {text[span.start : span.end] for span in _names(text[:_LONGEST])}
    return sorted(found, key=lambda name: (-len(name), name))


def mask(texts: Sequence[str | None], kinds: Iterable[str]) -> tuple[list[str | None], dict[str, int]]:
    """The texts of one data point without what is personal in them, and how much of each kind that was."""
    wanted = tuple(kinds)
    known = _parts(name for text in texts if text and "name" in wanted for name in names(text))
    numbers: dict[tuple[str, str], int] = {}
    counts = Counter[str]()
    masked = [None if text is None else _masked(text, find(text, wanted, known), numbers, counts) for text in texts]
    return masked, dict(counts)


def _masked(text: str, spans: Sequence[Span], numbers: dict[tuple[str, str], int], counts: Counter[str]) -> str:
    out, at = [], 0
    for span in spans:
        value = (span.kind, re.sub(r"[\s()-]+", "", text[span.start : span.end]).casefold())
        if value not in numbers:
            counts[span.kind] += 1
            numbers[value] = counts[span.kind]
        out += [text[at : span.start], f"[{span.kind.upper()}_{numbers[value]}]"]
        at = span.end
    return "".join((*out, text[at:]))


def _take(taken: list[Span], found: Iterable[Span]) -> None:
    """Each in its place, unless it meets one that was taken; of those none meets another."""
    for span in found:
        at = bisect(taken, span)
        if (not at or taken[at - 1].end <= span.start) and (at == len(taken) or span.end <= taken[at].start):
            taken.insert(at, span)


def _matching(kind: str, pattern: re.Pattern[str], good: Callable[[str], bool]) -> Callable[[str], Iterator[Span]]:
    def found(text: str) -> Iterator[Span]:
        for match in pattern.finditer(text):
            if good(match[match.lastindex or 0]):
                yield Span(*match.span(match.lastindex or 0), kind)

    return found


def _is_phone(text: str) -> bool:
    """With a country's code any number that is possible; without one what is valid somewhere, or of the US's form."""
    import phonenumbers

    if len(re.sub(r"\D", "", text)) < 7:
        return False
    international = re.sub(r"^00", "+", text)
    if _US_PHONE.fullmatch(text):
        return True
    if not international.startswith(("+", "0", "(")):
        return False
    for region in (None,) if international.startswith("+") else REGIONS:
        try:
            number = phonenumbers.parse(international, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number) or (region is None and phonenumbers.is_possible_number(number)):
            return True
    return False


def _is_iban(text: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(text))


def _is_card(text: str) -> bool:
    from stdnum import luhn

    return bool(luhn.is_valid(re.sub(r"[ -]", "", text)))


def _is_person_number(text: str) -> bool:
    from stdnum.de import idnr
    from stdnum.gb import nhs
    from stdnum.us import ssn

    plain = re.sub(r"[ -]", "", text)
    if re.fullmatch(r"\d{3}-\d{2}-\d{4}", text):
        return bool(ssn.is_valid(plain))
    return bool(nhs.is_valid(plain) if len(plain) == 10 else idnr.is_valid(plain))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return text.count(":") != len(text)


def _person_numbers(text: str) -> Iterator[Span]:
    yield from _matching("person_number", _PERSON, _is_person_number)(text)
    yield from _matching("person_number", _NINO, lambda _: True)(text)


def _names(text: str) -> Iterator[Span]:
    for pattern in (_TITLED, _ANNOUNCED, _GREETED, _BORN):
        for match in pattern.finditer(text):
            if _may_be_name(match[1]):
                yield Span(*match.span(1), "name")
    for match in _GIVEN.finditer(text):
        if match[1].lower() in _GIVEN_NAMES and _may_be_name(match[2]):
            yield Span(match.start(1), match.end(2), "name")


def _may_be_name(words: str) -> bool:
    first = words.split()[0].lower()
    return first not in _NOT_NAMES and first not in STOP


def _distinct_names(text: str) -> list[Span]:
    """Of spans that overlap the longest."""
    kept: list[Span] = []
    _take(kept, sorted(set(_names(text)), key=lambda span: (span.start - span.end, span.start)))
    _take(kept, _again(text, _parts(text[span.start : span.end] for span in kept)))
    return kept


def _parts(found: Iterable[str]) -> list[str]:
    """A full name and its words: who was named in full is later named in part."""
    whole = list(found)
    words = {w for name in whole for w in name.split() if len(w) > 2 and w[0].isupper() and _may_be_name(w)}
    return sorted({*whole, *words}, key=lambda name: (-len(name), name))


def _again(text: str, known: Sequence[str]) -> Iterator[Span]:
    """Wherever one of the names stands as a word, the longest: by its first word, not by trying each of them."""
    lengths: dict[str, set[int]] = {}
    for name in known:
        lengths.setdefault(_first(name), set()).add(len(name))
    longest_first = {word: sorted(found, reverse=True) for word, found in lengths.items()}
    names, end = set(known), 0
    for match in _TOKEN.finditer(text) if known else ():
        at = match.start()
        for length in longest_first.get(match[0], ()) if at >= end else ():
            if text[at : at + length] in names and not _TOKEN.match(text, at + length):
                end = at + length
                yield Span(at, end, "name")
                break


def _first(name: str) -> str:
    word = _TOKEN.match(name)
    return word[0] if word else ""


_FINDERS: dict[str, Callable[[str], Iterable[Span]]] = {
    "email": _matching("email", _EMAIL, lambda _: True),
    "iban": _matching("iban", _IBAN, _is_iban),
    "card": _matching("card", _CARD, _is_card),
    "person_number": _person_numbers,
    "ip": _matching("ip", _IP, _is_ip),
    "birth_date": _matching("birth_date", _BIRTH, lambda _: True),
    "address": _matching("address", _ADDRESS, lambda _: True),
    "phone": _matching("phone", _PHONE, _is_phone),
    "name": _distinct_names,
}
