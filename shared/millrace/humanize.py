"""The use-case: a text in, a faithful rewrite out, and the decision that led there. AWS: through what it is handed.

Routes are tried in order until one answers with a rewrite that verifies. A model that was asked for by name answers
alone: its unfaithful rewrite is an error that carries the draft. Whatever happens, the answer is captured.

A provider gets a thread and the time that is left: one that hangs or drips is left behind, and the rules still answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from .calls import Calls
from .catalogue import RULES, Catalogue, Entry
from .clock import fresh_id, stamp
from .corpus import Corpus
from .datapoints import MAX_TEXT, DataPoint, Origin, check_unicode, content_id
from .errors import InvalidInput, MillraceError, TooLarge, Unavailable, Unfaithful
from .providers import Ask, Completion, Provider, provider
from .routing import AUTO, Choice, Reason, choose
from .tenants import Tenant
from .text.faithfulness import Violation, verify
from .text.scores import score

RULES_RESERVE_S = 2.0
"""Time that is kept back so that the rules still answer."""


@dataclass(frozen=True)
class Answer:
    text: str
    model_id: str
    decision_id: str
    reasons: list[dict[str, str]]
    scores: dict[str, dict[str, float]]
    violations: list[dict[str, str]]
    usage: dict[str, Any]
    latency_ms: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Humanizer:
    catalogue: Catalogue
    corpus: Corpus
    deadline_s: float
    provide: Callable[[str], Provider] = provider
    on_lost_capture: Callable[[MillraceError], None] = lambda error: None
    calls: Calls | None = None
    """Breakers, retries and their budget; without it every route is asked once."""
    obstacle: Callable[[Entry], str | None] = lambda entry: None
    """Why a model cannot be called at all: no key, shut down."""

    def humanize(self, tenant: Tenant, ask: Ask, wish: str | None = None) -> Answer:
        """NotFound, Forbidden or Unfaithful for a named model; for `auto` always an answer."""
        _check(ask.text)
        began = time.monotonic()
        choice = self._choose(tenant, ask, wish)
        entry, completion, reasons = self._answer(choice, ask, began + self.deadline_s)
        latency_ms = round((time.monotonic() - began) * 1000, 1)
        usage = {
            "input_tokens": completion.input_tokens,
            "output_tokens": completion.output_tokens,
            "cost_usd": _cost_usd(entry, completion),
        }
        answer = Answer(
            text=completion.text,
            model_id=entry.id,
            decision_id=content_id(ask.text, completion.text, salt=fresh_id("")),
            reasons=[asdict(reason) for reason in reasons],
            scores={"before": score(ask.text), "after": score(completion.text)},
            violations=[],
            usage=usage,
            latency_ms=latency_ms,
        )
        self._capture(tenant, ask, answer)
        return answer

    def _choose(self, tenant: Tenant, ask: Ask, wish: str | None) -> Choice:
        try:
            entries = self.catalogue.entries(tenant)
        except Unavailable as error:
            if wish not in (None, "", AUTO, RULES.id):
                raise
            choice = choose([RULES], tenant.tier, ask.text, wish)
            return replace(choice, reasons=(Reason("catalogue", str(error)), *choice.reasons))
        return choose(entries, tenant.tier, ask.text, wish, obstacle=self.obstacle)

    def _answer(self, choice: Choice, ask: Ask, deadline: float) -> tuple[Entry, Completion, list[Reason]]:
        reasons = list(choice.reasons)
        for entry in choice.routes:
            left_s = deadline - time.monotonic() - (0 if choice.wished else RULES_RESERVE_S)
            if entry.id != RULES.id and left_s <= 0:
                reasons.append(Reason("deadline", f"{entry.id} was passed over: no time was left for it"))
                continue
            try:
                completion = self._call(entry, ask, time.monotonic() + left_s)
            except MillraceError as error:
                if choice.wished:
                    raise
                reasons.append(Reason("unavailable", str(error)))
                continue
            violations = verify(ask.text, completion.text)
            if not violations:
                return (
                    entry,
                    completion,
                    [Reason("answered", f"{entry.id} answered and its rewrite verified"), *reasons],
                )
            if choice.wished:
                raise Unfaithful(_summary(entry, violations), completion.text, [asdict(v) for v in violations])
            reasons.append(Reason("unfaithful", _summary(entry, violations)))
        # The rules verify their own rewrite; should that ever fail, the text itself is the faithful answer.
        reasons.append(Reason("unchanged", "no rewrite verified, so the text is returned as it is"))
        return RULES, Completion(ask.text), reasons

    def _call(self, entry: Entry, ask: Ask, until: float) -> Completion:
        if self.calls is None or entry.id == RULES.id:
            return self._complete(entry, ask, until - time.monotonic())
        return self.calls.make(entry, until, lambda left_s: self._complete(entry, ask, left_s))

    def _complete(self, entry: Entry, ask: Ask, left_s: float) -> Completion:
        """The provider's answer, or Unavailable when its time is up or what it said is no answer."""
        if entry.id == RULES.id:
            return self.provide(entry.provider)(entry, ask, left_s)
        completion = within(left_s, lambda: self.provide(entry.provider)(entry, ask, left_s), entry.id)
        if not isinstance(completion.text, str) or not completion.text.strip():
            raise Unavailable(f"{entry.id} answered without a text.")
        return completion

    def _capture(self, tenant: Tenant, ask: Ask, answer: Answer) -> None:
        point = DataPoint(
            id=answer.decision_id,
            origin=Origin.ANSWER,
            source=ask.text,
            target=answer.text,
            created_at=stamp(),
            origin_ref=answer.decision_id,
            model_id=answer.model_id,
            scores=answer.scores,
            decision={"reasons": answer.reasons, "strength": ask.strength, "tone": ask.tone},
        )
        try:
            self.corpus.capture(tenant, point)
        except MillraceError as error:
            self.on_lost_capture(error)


def _cost_usd(entry: Entry, completion: Completion) -> float:
    """From the reply's own token counts; nothing for what runs at home."""
    if not (entry.input_usd or entry.output_usd):
        return 0.0
    from .prices import charge  # the price list takes 0.3 s to load, and only who pays needs it

    return charge(entry, completion).cost_usd


def within(limit_s: float, call: Callable[[], Completion], who: str) -> Completion:
    """What `call` returns or raises, or Unavailable after `limit_s`. The thread it runs in is left to end by itself."""
    results: list[Completion] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # the border of the thread: whoever waits is told, whatever it is
            failures.append(error)

    worker = threading.Thread(target=run, daemon=True, name=f"ask-{who}")
    worker.start()
    worker.join(max(0.0, limit_s))
    if failures and isinstance(failures[0], MillraceError):
        raise failures[0]
    if failures:
        raise Unavailable(f"{who} failed with {type(failures[0]).__name__}.") from failures[0]
    if not results:
        raise Unavailable(f"{who} did not answer within {limit_s:.1f} s.")
    return results[0]


def _summary(entry: Entry, violations: list[Violation]) -> str:
    kinds = ", ".join(sorted({violation.kind for violation in violations}))
    return f"{entry.id} answered, but its rewrite did not keep: {kinds}."


def _check(text: str) -> None:
    if not text.strip():
        raise InvalidInput("The text is empty; send the text to be humanized.")
    if len(text) > MAX_TEXT:
        raise TooLarge(f"The text has {len(text):,} characters; at most {MAX_TEXT:,} are taken at once.")
    check_unicode("text", text)
