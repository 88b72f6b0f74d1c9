"""Words that turn the sense of what stands beside them: rose and fell, all and some, before and after. Pure, linear.

Spoken of only where one went, its opposite came, and the same word stands on the same side of both: "A is older than B"
may become "B is younger than A".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from millrace.text.quantities import A_NUMBER
from millrace.text.words import STOP, stem, word_list

_PAIRS = """
increase decrease, increases decreases, increased decreased, increasing decreasing, rise fall, rises falls,
rose fell, rising falling, higher lower, high low, highest lowest, maximum minimum, above below, more less,
more fewer, larger smaller, longer shorter, older younger, faster slower, stronger weaker, better worse, best worst,
hot cold, warmer colder, wet dry, possible impossible, legal illegal, valid invalid, active inactive,
effective ineffective, complete incomplete, correct incorrect, accurate inaccurate, visible invisible,
adequate inadequate, direct indirect, sufficient insufficient, dependent independent, regular irregular,
relevant irrelevant, approve reject, approves rejects, approved rejected, accept reject, accepts rejects,
accepted rejected, accept refuse, accepted refused, allow forbid, allowed forbidden, allowed prohibited,
permitted prohibited, permitted forbidden, agree disagree, agrees disagrees, agreed disagreed, include exclude,
includes excludes, included excluded, including excluding, enable disable, enables disables, enabled disabled,
positive negative, win lose, won lost, succeeded failed, pass fail, passes fails, passed failed, success failure,
opens closes, opened closed, open closed, true false, guilty innocent, north south, east west, northern southern,
eastern western, import export, imports exports, imported exported, first last, oldest newest, earlier later,
morning evening, male female, mother father, brother sister, son daughter, husband wife, credit debit, profit loss,
profits losses, inside outside, indoor outdoor, internal external, public private, temporary permanent,
optional mandatory, acute chronic, benign malignant, hypertension hypotension, hyperglycemia hypoglycemia,
before after, all most, all some, all several, all few, all many, every most, every some, every few, each some,
most some, most several, most few, most many, many few, always never, always sometimes, always often,
always usually, often rarely, usually rarely, unless if, start stop, starts stops, started stopped, deny admit,
denies admits, denied admitted, left right, clockwise counterclockwise, clockwise anticlockwise, within after,
fails works, failed worked, fail work, son father, son mother, daughter mother, daughter father, parent child
"""
_NO_PREFIX = frozenset("unless until under unique union unit units united unity universal".split())


def _table() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in _PAIRS.split(","):
        one, other = pair.split()
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}


_OPPOSITES = _table()
_HAVE_OPPOSITES = frozenset(_OPPOSITES)
_SENTENCE = re.compile(r"[.!?;:](?!\w)|\n")
_REACH = 60
_LOOKED_AT = 4
"""Places of one word that are compared; a word that stands more often seldom goes at once."""

_PREFIXED = 16

Words = Set[str]


def turned(
    source: str, rewrite: str, words: Words, now: Words, negated: Sequence[str], negated_now: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Words that went and the opposites that came for them. `negated`, `negated_now`: stems that stand negated."""
    gone, come = words - now, now - words
    for word in sorted(gone & _HAVE_OPPOSITES):
        for other in sorted(_OPPOSITES[word] & come):
            if not _left_open(source, word, rewrite, other) and _alike(
                source, word, negated, rewrite, other, negated_now
            ):
                yield word, other
    for one, other in sorted(_prefixed(gone, come))[:_PREFIXED]:
        if _alike(source, one, negated, rewrite, other, negated_now):
            yield one, other


def _left_open(source: str, word: str, rewrite: str, other: str) -> bool:
    """A bound, which is compared as such, or what is nearly all: no more than 5 and 5 or fewer, almost all and most."""
    sides = ((source, word), (rewrite, other))
    if all(re.search(rf"\bor {said}\b|\b{said} than {A_NUMBER}", text, re.IGNORECASE) for text, said in sides):
        return True
    hedged = (rf"\b(?:nearly|almost|virtually|practically) {said}\b" for _, said in sides)
    found = (re.search(hedge, text, re.IGNORECASE) for hedge, (text, _) in zip(hedged, sides, strict=True))
    return {word, other} == {"all", "most"} and any(found)


def _prefixed(gone: Words, come: Words) -> list[tuple[str, str]]:
    left, came = ([word for word in words if word[:2] == "un" and word not in _NO_PREFIX] for words in (gone, come))
    return [(word[2:], word) for word in came if word[2:] in gone] + [
        (word, word[2:]) for word in left if word[2:] in come
    ]


def _alike(
    source: str, word: str, negated: Sequence[str], rewrite: str, other: str, negated_now: Sequence[str]
) -> bool:
    """The same stands before both or after both, or nothing does, and both are negated or neither."""
    before, now = _away(source, word) or stem(word) in negated, _away(rewrite, other) or stem(other) in negated_now
    if before != now:
        return False
    if "unless" in (word, other) and len(negated) != len(negated_now):
        return False
    (left, right), (left_now, right_now) = _beside(source, word), _beside(rewrite, other)
    alone = not (left or left_now or right or right_now)
    return alone or bool(left & left_now or right & right_now)


def _away(text: str, word: str) -> bool:
    """Far from clear is unclear."""
    found = re.search(rf"\b(?:far from|anything but|hardly|scarcely|barely) {word}\b", text, re.IGNORECASE)
    return found is not None


def _beside(text: str, word: str) -> tuple[set[str], set[str]]:
    """Stems of the content words that stand next before and next after the word in its sentence."""
    before: set[str] = set()
    after: set[str] = set()
    for n, found in enumerate(re.finditer(rf"\b{word}\b", text, re.IGNORECASE)):
        if n == _LOOKED_AT:
            break
        left = _SENTENCE.split(text[max(0, found.start() - _REACH) : found.start()])[-1]
        right = _SENTENCE.split(text[found.end() : found.end() + _REACH], maxsplit=1)[0]
        before.update(_content(left)[-1:])
        after.update(_content(right)[:1])
    return before, after


def _content(text: str) -> list[str]:
    return [stem(word) for word in word_list(text) if word.lower() not in STOP]
