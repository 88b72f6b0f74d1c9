"""A long text in sections that one request of the humanizer holds, and the answers put together again. Pure, linear.

A section is a run of paragraphs with what stands between them; sections make the text, byte for byte. What no request
can hold (code and tables over the limit, a sentence of thousands of words) is a section that stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import paragraphs
from .complexity import complexity
from .datapoints import MAX_TEXT, MAX_WORDS
from .paragraphs import Part
from .text.faithfulness import verify
from .text.scores import score
from .written import unfaithful

SECTION_WORDS = 1_200
"""About eight paragraphs: two or three rounds of a model's calls, half a minute at the worst."""
SECTION_CHARACTERS = 20_000
SECTION_PARTS = 16
MOST_REASONS = 24
FEW_TRIES, MANY_CHARACTERS = 10, 1_000_000
"""At mending of a text this long: each verifies the whole, which takes up to 3 s."""
RULES_ID = "rules"
STRETCH_SECTIONS = 4
"""As many as are answered at a time: a stretch takes one section's time, however short its texts are."""


@dataclass(frozen=True)
class Section:
    at: int
    """Which text of the order it is of."""
    start: int
    end: int
    """Characters of that text."""
    parts: int
    """Paragraphs: what progress is counted in."""
    kept: bool = False
    """Stays as it is."""


@dataclass(frozen=True)
class Answered:
    """What became of a section."""

    text: str
    model_id: str
    decision_id: str | None
    reasons: list[dict[str, str]]
    usage: dict[str, Any]
    latency_ms: float


def planned(texts: Sequence[str]) -> list[list[Section]]:
    """Stretches: what is answered together, and kept once it is. Several short texts, or one section of a long one."""
    stretches: list[list[Section]] = []
    words = 0
    for section in (section for at, text in enumerate(texts) for section in sections(at, text)):
        more = paragraphs.size(texts[section.at][section.start : section.end])
        if not stretches or words + more > SECTION_WORDS or len(stretches[-1]) >= STRETCH_SECTIONS:
            stretches.append([])
            words = 0
        stretches[-1].append(section)
        words += more
    return stretches


def sections(at: int, text: str) -> Iterator[Section]:
    """In the order of the text, without a gap."""
    begin = end = words = parts = 0
    for length, size, kept in _runs(paragraphs.split(text)):
        full = words + size > SECTION_WORDS or parts >= SECTION_PARTS or end + length - begin > SECTION_CHARACTERS
        if end > begin and (full or kept):
            yield Section(at, begin, end, parts)
            begin, words, parts = end, 0, 0
        end, words, parts = end + length, words + size, parts + 1
        if kept:
            yield Section(at, begin, end, 1, kept=True)
            begin, words, parts = end, 0, 0
    if end > begin:
        yield Section(at, begin, end, parts, kept=not text[begin:end].strip())


def _runs(parts: Sequence[Part]) -> Iterator[tuple[int, int, bool]]:
    """(characters, words, kept): each part, what is too large of it apart."""
    for part in parts:
        lead, tail = (len(each) > SECTION_CHARACTERS for each in (part.lead, part.tail))
        if lead:
            yield len(part.lead), 0, True
        body = ("" if lead else part.lead) + part.body + ("" if tail else part.tail)
        if body:
            size = paragraphs.size(body)
            yield len(body), size, len(body) > MAX_TEXT // 2 or size > MAX_WORDS // 2 or not body.strip()
        if tail:
            yield len(part.tail), 0, True


def kept(text: str) -> Answered:
    why = {"code": "unchanged", "text": "too large to be rewritten in one piece, or nothing to rewrite"}
    return Answered(text, RULES_ID, None, [why], {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}, 0.0)


def whole(text: str, sections: Sequence[Section], answers: Sequence[Answered], wished: bool = False) -> dict[str, Any]:
    """One text's answer in the shape of a request's. Every section verified; here all of them together do.

    Unfaithful, with the whole draft, where those of the model that was asked for (`wished`) cannot be made to.
    """
    bodies = _mended(text, sections, answers, wished)
    written = "".join(bodies)
    words: Counter[str] = Counter()
    for section, answer, body in zip(sections, answers, bodies, strict=True):
        if body == answer.text:
            words[answer.model_id] += paragraphs.size(text[section.start : section.end])
    usage = {name: sum(answer.usage[name] for answer in answers) for name in answers[0].usage}
    return {
        "text": written,
        "model_id": words.most_common(1)[0][0] if words else RULES_ID,
        "decision_id": next((answer.decision_id for answer in answers if answer.decision_id), "") or "",
        "decisions": [answer.decision_id for answer in answers if answer.decision_id],
        "reasons": _reasons([_told(answer, body) for answer, body in zip(answers, bodies, strict=True)]),
        "complexity": complexity(text).to_dict(),
        "scores": {"before": score(text), "after": score(written)},
        "violations": [],
        "usage": usage,
        "latency_ms": round(sum(answer.latency_ms for answer in answers), 1),
    }


def _mended(text: str, sections: Sequence[Section], answers: Sequence[Answered], wished: bool) -> list[str]:
    """Bodies that verify together. Where mending finds none, all that may be to blame become what they were, or all."""
    bodies = [answer.text for answer in answers]
    if len(bodies) == 1:
        return bodies
    parts = [Part("", text[section.start : section.end]) for section in sections]
    tries = FEW_TRIES if len(text) > MANY_CHARACTERS else paragraphs.MOST_TRIES
    mended, broken = paragraphs.mend(text, parts, bodies, tries)
    if broken and wished:
        raise unfaithful(_author(answers), "".join(bodies), broken)
    if broken:
        words = [word for violation in broken for word in (violation.before, violation.after) if word]
        for at, part in enumerate(parts):
            if any(word in part.body or word in mended[at] for word in words):
                mended[at] = part.body
        broken = verify(text, "".join(mended))
    return [part.body for part in parts] if broken else mended


def _author(answers: Sequence[Answered]) -> str:
    """The model that was asked for: what no request can hold it was not given."""
    return next((answer.model_id for answer in answers if answer.model_id != RULES_ID), RULES_ID)


def _told(answer: Answered, body: str) -> Answered:
    """Why the section is what it is now."""
    if body == answer.text:
        return answer
    return replace(answer, reasons=[_KEPT, *(reason for reason in answer.reasons if reason["code"] != "answered")])


_KEPT = {
    "code": "unchanged",
    "text": "a rewrite verified alone and not with the others, so the section stays as it was",
}


def _reasons(answers: Sequence[Answered]) -> list[dict[str, str]]:
    """Each reason once, the most frequent first."""
    counted = Counter((reason["code"], reason["text"]) for answer in answers for reason in answer.reasons)
    told = [
        {"code": code, "text": text if len(answers) == 1 else f"{text} ({count} of {len(answers)} sections)"}
        for (code, text), count in counted.most_common(MOST_REASONS)
    ]
    if len(counted) > MOST_REASONS:
        told.append({"code": "more", "text": f"{len(counted) - MOST_REASONS} more reasons are left out here"})
    return told
