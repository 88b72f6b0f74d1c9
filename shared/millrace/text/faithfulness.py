"""What a rewrite lost or invented. Pure, linear; H8.

A kind is one of KINDS. A demand is exact where the source is exact (code, links, markers, citations, quotes) and
canonical where a good editor may choose the form (numbers, dates, units, contractions). Known limits: a negation that
moves between clauses of one content, or with one that is lost, is not seen; of what changed places, of duties and of
repeated numbers only what `places` and `roles` say; a name at the start of a sentence is seen when it is a common one
or stands elsewhere in the text.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from millrace.text import facts, opposites, places, roles
from millrace.text.facts import Facts, clause
from millrace.text.quantities import Quantity
from millrace.text.units import UNITS
from millrace.text.words import STOP, count_words, stem, word_list

KINDS = (
    "number", "date", "name", "quote", "url", "code", "citation", "negation", "unit", "structure", "length",
    "similarity", "marker", "empty", "modal",
)  # fmt: skip
LENGTH_BOUNDS = (0.4, 1.8)
"""Words of the rewrite over words of the source; a text of a few words may differ by SLACK_WORDS more."""
SLACK_WORDS = 8
SIMILARITY_FLOOR = 0.25
"""Least share of content stems in common, of the smaller side's."""


@dataclass(frozen=True)
class Violation:
    """One thing that did not survive: `before` is the source's words, `after` the rewrite's; one may be empty."""

    kind: str
    before: str
    after: str


def verify(source: str, rewrite: str) -> list[Violation]:
    """Every violation, none for a faithful rewrite."""
    return against(source)(rewrite)


def against(source: str) -> Against:
    """`verify` for several rewrites of one source."""
    return Against(source)


class Against:
    """The facts of a source are read once: when its first rewrite is held against it, or before, by `read`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._facts: Facts | None = None

    def read(self) -> Facts:
        if self._facts is None:
            self._facts = facts.read(self.source)
        return self._facts

    def __call__(self, rewrite: str) -> list[Violation]:
        """Every violation, none for a faithful rewrite."""
        if self.source == rewrite:
            return []
        if not rewrite.strip():
            return [Violation("empty", _short(self.source), "")] if self.source.strip() else []
        return _compare(self.source, rewrite, self.read(), facts.read(rewrite))


def _compare(source: str, rewrite: str, before: Facts, after: Facts) -> list[Violation]:
    found: list[Violation] = []
    alike = _alike(before.quantities, after.quantities)
    found += _exact(before, after)
    found += _dates(before, after)
    if not alike:
        found += _quantities(before, after)
    found += _names(before, after)
    found += _roles(source, rewrite, before, after)
    if not alike:
        found += (Violation("number", *s) for s in roles.unnumbered(_bound(before), _bound(after), after.words))
    found += _negations(source, rewrite, before, after)
    found += _opposites(before, after)
    found += [
        Violation("structure", f"{name}: {old or 'none'}", f"{name}: {new or 'none'}")
        for (name, old), (_, new) in zip(before.structure, after.structure, strict=True)
        if old != new
    ]
    found += _size(source, rewrite, before, after)
    return found


def _exact(before: Facts, after: Facts) -> Iterator[Violation]:
    if before.exact == after.exact:
        return
    for kind in facts.EXACT:
        old, new = (Counter(side.exact.get(kind, ())) for side in (before, after))
        for lost in old - new:
            yield Violation(kind, lost, "")
        for added in new - old:
            yield Violation(kind, "", added)


def _dates(before: Facts, after: Facts) -> Iterator[Violation]:
    for key, text in before.dates.items():
        if not _date_known(key, after):
            yield Violation("date", text, "")
    for key, text in after.dates.items():
        if not _date_known(key, before):
            yield Violation("date", "", text)


def _date_known(key: str, other: Facts) -> bool:
    if key in other.dates:
        return True
    return key.isalpha() and key in other.words


def _quantities(before: Facts, after: Facts) -> Iterator[Violation]:
    yield from _missing(before, after, lost=True)
    yield from _missing(after, before, lost=False)
    yield from _swapped(_bound(before), _bound(after))
    yield from _swapped(_about(before), _about(after))
    yield from _otherwise(before, after)
    yield from _turned_round(before, after)


def _alike(old: list[Quantity], new: list[Quantity]) -> bool:
    """The same amounts of the same things in one order: whatever else stands around them, none is another then."""
    return len(old) == len(new) and list(map(_SAID, old)) == list(map(_SAID, new))


_SAID = itemgetter(*(n for n, name in enumerate(Quantity._fields) if name not in ("text", "near")))


_SHARES = {"0.5": "50", "0.25": "25", "0.75": "75", "0.2": "20", "0.1": "10"}
_PERCENTS = {percent: share for share, percent in _SHARES.items()}


def _missing(one: Facts, other: Facts, lost: bool) -> Iterator[Violation]:
    known = {(x.value, x.unit) for x in other.quantities}
    known |= {(_SHARES[value], "%") for value, unit in known if not unit and value in _SHARES}
    known |= {(_PERCENTS[value], "") for value, unit in known if unit == "%" and value in _PERCENTS}
    own = {(x.value, x.unit) for x in one.quantities}
    known |= {(value, "") for value, unit in known if unit and (value, unit) in own}  # thirty (30) days
    values = {x.value: x.text for x in other.quantities}
    seen: set[tuple[str, str]] = set()
    for quantity in one.quantities:
        key = (quantity.value, quantity.unit)
        if quantity.soft or key in known or key in seen or _one_of_them(quantity, other):
            continue
        seen.add(key)
        near = values.get(quantity.value)
        if near is not None and not lost:
            continue  # the other direction has named it
        kind = "number" if near is None else "unit"
        sides = (quantity.text.strip(), (near or "").strip())
        yield Violation(kind, *(sides if lost else sides[::-1]))


def _one_of_them(quantity: Quantity, other: Facts) -> bool:
    """One hour is an hour, and the same as per hour."""
    if not quantity.text.lower().startswith("one ") or not quantity.unit:
        return False
    return any(UNITS.get(word) == quantity.unit for word in other.words)


def _swapped(old: dict[str, set[str]], new: dict[str, set[str]]) -> Iterator[Violation]:
    """Ten men and twenty women are not twenty men and ten women."""
    if old == new:
        return
    holders = Counter(value for values in old.values() for value in values)
    for noun, values in old.items():
        wrong = new.get(noun, set()) - values
        if wrong and not (new.get(noun, set()) & values):
            value = min(wrong)
            if holders[value]:
                yield Violation("number", f"{min(values)} {noun}", f"{value} {noun}")


def _otherwise(before: Facts, after: Facts) -> Iterator[Violation]:
    """The same number with another bound or by another measure: at most, not at least; per day, not per kg."""
    if not any(x.bound or x.per for x in before.quantities + after.quantities):
        return
    old, new = _by_key(before), _by_key(after)
    for key, told in old.items():
        now = new.get(key)
        if not now or not any(x.bound or x.per for x in told + now):
            continue
        bounds, bounds_now = ({sign for x in some for sign in x.bound} for some in (told, now))
        if _unbound(bounds, bounds_now, told, now):
            yield Violation(
                "number", *(f"{some[0].bound.strip('?')} {some[0].text.strip()}".strip() for some in (told, now))
            )
        per, per_now = ({part for x in some for part in x.per.split("/") if part} for some in (told, now))
        if per - per_now and per_now - per:
            text = told[0].text.strip()
            yield Violation("unit", *(f"{text} per {min(ones)}" for ones in (per - per_now, per_now - per)))


def _turned_round(before: Facts, after: Facts) -> Iterator[Violation]:
    """From nine to five is not from five to nine."""
    old, new = ({(x.value, x.upto) for x in side.quantities if x.upto} for side in (before, after))
    for start, end in sorted(old - new):
        if (end, start) in new - old:
            yield Violation("number", f"{start} to {end}", f"{end} to {start}")


def _unbound(old: set[str], new: set[str], told: list[Quantity], now: list[Quantity]) -> bool:
    """Other bounds than before, or one that all had and none has, or none had and all have."""
    signs, signs_now = old - {"?"}, new - {"?"}
    if signs and signs_now:
        return not signs & signs_now
    if signs == signs_now or told[0].soft:
        return False
    having, lacking = (told, now) if signs else (now, told)
    return "?" not in old | new and all(x.bound for x in having) and not any(x.may_be_bound() for x in lacking)


def _by_key(side: Facts) -> dict[tuple[str, str], list[Quantity]]:
    found: dict[tuple[str, str], list[Quantity]] = {}
    for quantity in side.quantities:
        found.setdefault((quantity.value, quantity.unit), []).append(quantity)
    return found


def _bound(side: Facts) -> dict[str, set[str]]:
    bound: dict[str, set[str]] = {}
    for quantity in side.quantities:
        if quantity.noun and not quantity.soft:
            bound.setdefault(quantity.noun, set()).add(quantity.value)
    return bound


def _about(side: Facts) -> dict[str, set[str]]:
    about: dict[str, set[str]] = {}
    for quantity in side.quantities:
        if quantity.about and not quantity.soft:
            about.setdefault(quantity.about, set()).add(f"{quantity.value} {quantity.unit}".strip())
    return about


def _names(before: Facts, after: Facts) -> Iterator[Violation]:
    for key, text in before.names.items():
        if not after.knows(key):
            yield Violation("name", text, "")
    for key, text in after.names.items():
        if not before.knows(key):
            yield Violation("name", "", text)


def _roles(source: str, rewrite: str, before: Facts, after: Facts) -> Iterator[Violation]:
    names = before.names.keys() | after.names.keys()
    old, new = ([x for x in side.places if x[2] != "name" or x[3] in names] for side in (before, after))
    yield from (Violation(*found) for found in places.swapped(before.rest, old, after.rest, new))
    if not (roles.ADVICE.isdisjoint(before.words) and roles.ADVICE.isdisjoint(after.words)):
        yield from (Violation("modal", *sides) for sides in roles.modals(source, rewrite))


def _negations(source: str, rewrite: str, before: Facts, after: Facts) -> Iterator[Violation]:
    if [negation.head for negation in before.negations] != [negation.head for negation in after.negations]:
        yield from _renegated(before, after)
    if before.neutral != after.neutral:
        yield from _bared(source, rewrite, before, after)


def _renegated(before: Facts, after: Facts) -> Iterator[Violation]:
    """A soft negation excuses a hard one only where it came or went with it: cannot, unable to."""
    old, new = (Counter(negation.head for negation in side.negations) for side in (before, after))
    lost, added = old - new, new - old
    more, softened = old.total() - new.total(), after.soft_negations - before.soft_negations
    if more > max(0, softened):
        yield Violation("negation", f"not {next(iter(lost), '')}".strip(), "")
    elif -more > max(0, -softened):
        yield Violation("negation", "", f"not {next(iter(added), '')}".strip())
    elif not more:
        yield from _moved(before, after, lost, added)


def _opposites(before: Facts, after: Facts) -> Iterator[Violation]:
    heads = [[*(n.head for n in side.negations), *map(stem, side.neutral)] for side in (before, after)]
    for sides in opposites.turned(before.rest, after.rest, before.words, after.words, *heads):
        yield Violation("negation", *sides)


def _moved(before: Facts, after: Facts, lost: Iterable[str], added: Iterable[str]) -> Iterator[Violation]:
    """A negation that went from one clause to another; its word and its new one stand alone where they did not."""
    if not any(lost) or not any(added):
        return
    alone, alone_now = _alone(before), _alone(after)
    left = [head for head in lost if head and alone_now[head] > alone[head]]
    taken = [head for head in added if head and alone[head] > alone_now[head]]
    if left and taken:
        scope, scope_now = (set[str]().union(*(clause(x.rest, n.at) for n in x.negations)) for x in (before, after))
        left = [head for head in left if head not in scope_now]
        taken = [head for head in taken if head not in scope]
        yield from (
            Violation("negation", f"not {one}", f"not {other}") for one, other in zip(left, taken, strict=False)
        )


def _alone(side: Facts) -> Counter[str]:
    """How often each stem stands without a negation of its own."""
    stems = Counter(stem(word) for word in word_list(side.rest))
    stems.subtract(negation.head for negation in side.negations)
    return stems


def _bared(source: str, rewrite: str, before: Facts, after: Facts) -> Iterator[Violation]:
    """Phrases that negate nothing of which one word stayed behind, or was there before: no doubt, doubt."""
    old, new = Counter(before.neutral), Counter(after.neutral)
    lost, added = old - new, new - old
    asked = {*filter(after.knows, lost), *filter(before.knows, added)}
    if not asked:
        return
    said, said_now = _said(source, asked), _said(rewrite, asked)
    for phrase in sorted(asked):
        bare = said_now[phrase] - new[phrase] - said[phrase] + old[phrase]
        if bare > 0 and phrase in lost:
            yield Violation("negation", f"not {phrase}", phrase)
        elif bare < 0 and phrase in added:
            yield Violation("negation", phrase, f"not {phrase}")


def _said(text: str, phrases: Collection[str]) -> Counter[str]:
    """How often each phrase of one word or two stands in the text."""
    words = word_list(text.lower())
    pairs = map(" ".join, itertools.pairwise(words)) if any(" " in phrase for phrase in phrases) else ()
    return Counter(filter(phrases.__contains__, itertools.chain(words, pairs)))


def _size(source: str, rewrite: str, before: Facts, after: Facts) -> Iterator[Violation]:
    old, new = count_words(source, before.beyond), count_words(rewrite, after.beyond)
    low, high = LENGTH_BOUNDS
    if new < low * old - SLACK_WORDS or new > high * old + SLACK_WORDS:
        yield Violation("length", f"{old} words", f"{new} words")
    if _much_in_common(before, after):
        return
    one, two = _content(before), _content(after)
    smaller = min(len(one), len(two))
    if smaller >= 4 and len(one & two) < SIMILARITY_FLOOR * smaller:
        yield Violation("similarity", _short(source), _short(rewrite))


def _much_in_common(before: Facts, after: Facts) -> bool:
    """Whether a part of the words that both have is enough already, as nearly always."""
    enough = SIMILARITY_FLOOR * min(len(before.words), len(after.words))
    common = {word[:5] for word in (before.words & after.words) - STOP if len(word) > 2}
    return bool(common) and len(common) >= enough


def _content(side: Facts) -> set[str]:
    """The first five letters of every content word: decide and decision agree, so do utilize and utilization."""
    return {word[:5] for word in side.words if word not in STOP and len(word) > 2}


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip())[:80]
