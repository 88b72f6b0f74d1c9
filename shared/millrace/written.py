"""What was written, by whom and at what price; and paragraphs put together to one answer. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import paragraphs
from .catalogue import RULES, Entry
from .errors import Unfaithful
from .paragraphs import Part
from .providers import Completion
from .routing import Reason
from .text.faithfulness import Violation, verify

MOST_REASONS = 24
"""Of a long text; what more there are is counted."""


@dataclass(frozen=True)
class Written:
    """A rewrite, whose it is, and every completion that it cost, those that were refused among them."""

    text: str
    entry: Entry
    reasons: tuple[Reason, ...]
    spent: tuple[tuple[Entry, Completion], ...]


def hold_faithful(entry: Entry, parts: Sequence[Part], written: Sequence[Written]) -> None:
    """Unfaithful, with the whole draft, where a paragraph by the model that was asked for did not verify."""
    violations = [found for part, one in zip(parts, written, strict=True) for found in verify(part.body, one.text)]
    if violations:
        raise unfaithful(entry.id, paragraphs.join(parts, [one.text for one in written]), violations)


def whole(parts: Sequence[Part], bodies: Sequence[str], written: Sequence[Written]) -> Written:
    """The paragraphs' rewrites as one; whose most words are is named as its author."""
    words: Counter[str] = Counter()
    shares: Counter[str] = Counter()
    kept = 0
    for part, one, body in zip(parts, written, bodies, strict=True):
        if body != one.text:
            kept += 1
            continue
        words[one.entry.id] += paragraphs.size(part.body)
        shares[one.entry.id] += 1
    listed = [f"{id} rewrote {count}" for id, count in shares.most_common()]
    listed += [f"{kept} stay as they were"] if kept else []
    told = Reason("answered", f"of {len(parts)} parts {', '.join(listed)}; each verified, and so does the whole")
    entries = {one.entry.id: one.entry for one in written}
    main = entries[words.most_common(1)[0][0]] if words else RULES
    reasons = (told, *merged([one.reasons for one in written]))
    return Written(paragraphs.join(parts, bodies), main, reasons, tuple(cost for one in written for cost in one.spent))


def merged(each: Sequence[Sequence[Reason]]) -> tuple[Reason, ...]:
    """Every reason once, with how many parts it held for; the ones that say who answered are left out."""
    counted = Counter(reason for reasons in each for reason in reasons if reason.code != "answered")
    told = [
        reason if count == len(each) else Reason(reason.code, f"{reason.text} ({count} of {len(each)} parts)")
        for reason, count in counted.items()
    ]
    if len(told) > MOST_REASONS:
        more = Reason("more", f"{len(told) - MOST_REASONS} more reasons of single parts are left out here")
        told = [*told[:MOST_REASONS], more]
    return tuple(told)


def usage_of(spent: Sequence[tuple[Entry, Completion]]) -> dict[str, Any]:
    """What all calls took together, refused rewrites among them: they are paid for too."""
    return {
        "input_tokens": sum(completion.input_tokens for _, completion in spent),
        "output_tokens": sum(completion.output_tokens for _, completion in spent),
        "cost_usd": sum(_cost_usd(entry, completion) for entry, completion in spent),
    }


def _cost_usd(entry: Entry, completion: Completion) -> float:
    """From the reply's own token counts; nothing for what runs at home."""
    if not (entry.input_usd or entry.output_usd):
        return 0.0
    from .prices import charge  # the price list takes 0.3 s to load, and only who pays needs it

    return charge(entry, completion).cost_usd


def unfaithful(model_id: str, draft: str, violations: list[Violation]) -> Unfaithful:
    return Unfaithful(summary(model_id, violations), draft, [asdict(violation) for violation in violations])


def summary(model_id: str, violations: list[Violation]) -> str:
    kinds = ", ".join(sorted({violation.kind for violation in violations}))
    return f"{model_id} answered, but its rewrite did not keep: {kinds}."
