"""The use-case: a text in, a faithful rewrite out, and the decision that led there. AWS: through what it is handed.

Routes are tried in order until one answers with a rewrite that verifies. A model that was asked for by name answers
alone: its unfaithful rewrite is an error that carries the draft. Whatever happens, the answer is captured.

A long text is rewritten paragraph by paragraph, several at a time: each is answered, verified and escalated on its own
under the one deadline, and the whole is verified again. A stream releases each once it and all before it verify.

A provider gets a thread and the time that is left: one that hangs or drips is left behind, and the rules still answer.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from . import paragraphs
from .books import Account, Books
from .calls import Calls
from .catalogue import RULES, Catalogue, Entry
from .clock import fresh_id, stamp
from .complexity import complexity
from .corpus import Corpus
from .datapoints import MAX_TEXT, MAX_WORDS, DataPoint, Origin, check_unicode, content_id
from .errors import Abandoned, InvalidInput, MillraceError, TooLarge, Unavailable
from .fit import Fit
from .paragraphs import Part, Released
from .providers import PROVIDERS, Ask, Completion, CutOff, Provider, provider
from .routing import AUTO, Choice, Reason, choose
from .tenants import Tenant
from .text.faithfulness import Against, Violation, against
from .text.scores import score
from .text.words import count_words, more_words
from .waiting import alone, within
from .wire import meanwhile
from .written import Written, hold_faithful, merged, summary, unfaithful, usage_of, whole

RULES_RESERVE_S = 2.0
"""Time that is kept back so that the rules still answer."""


@dataclass(frozen=True)
class Answer:
    text: str
    model_id: str
    decision_id: str
    reasons: list[dict[str, str]]
    complexity: dict[str, Any]
    """Of the text that came in: its score and its parts."""
    scores: dict[str, dict[str, float]]
    violations: list[dict[str, str]]
    usage: dict[str, Any]
    latency_ms: float

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


Pick = Callable[[str], Choice]
"""Who may answer a text, or a paragraph of one."""


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
    parallel: int = 4
    """Paragraphs of one text that are rewritten at a time."""
    books: Books | None = None
    """Budgets and what the router has learned; without them neither is kept."""
    account: Account | None = None
    """Of the request at hand."""
    stopped: Callable[[], bool] | None = None
    """Of a stream: whether nobody waits for it any more."""
    clock: Callable[[], float] = time.monotonic

    def humanize(self, tenant: Tenant, ask: Ask, wish: str | None = None, until: float | None = None) -> Answer:
        """NotFound, Forbidden or Unfaithful for a named model; for `auto` always an answer.

        `until`, on the monotonic clock, is the deadline of work that this text is a part of.
        """
        if self.books is not None and self.account is None:
            return replace(self, account=self.books.open(tenant, ask.text)).humanize(tenant, ask, wish, until)
        check(ask.text)
        began = self.clock()
        deadline = began + self.deadline_s if until is None else min(until, began + self.deadline_s)
        return self._told(tenant, ask, self._written(self._picking(tenant, wish), ask, deadline), began)

    def stream(
        self, tenant: Tenant, ask: Ask, wish: str | None = None, stopped: threading.Event | None = None
    ) -> Iterator[str | Answer]:
        """Pieces that make the answer's text, each verified with all before it, and the Answer as the last.

        What fails before the first piece raises as `humanize` does; of a named model's unfaithful paragraph the draft
        is that paragraph. Once `stopped`, or closed, it leaves the calls that are out and starts no other.
        """
        leave = threading.Event()
        account = self.account or (self.books.open(tenant, ask.text) if self.books is not None else None)
        held = replace(self, account=account, stopped=lambda: leave.is_set() or bool(stopped and stopped.is_set()))
        check(ask.text)
        began = self.clock()
        try:
            written = yield from held._released(held._picking(tenant, wish), ask, began + self.deadline_s, leave)
            yield held._told(tenant, ask, written, began)
        finally:
            leave.set()

    def admit(self, tenant: Tenant, wish: str | None = None) -> None:
        """NotFound or Forbidden for a wish that could not be granted, before there is any work."""
        self._picking(tenant, wish)("")

    def _told(self, tenant: Tenant, ask: Ask, written: Written, began: float) -> Answer:
        answer = Answer(
            text=written.text,
            model_id=written.entry.id,
            decision_id=content_id(ask.text, written.text, salt=fresh_id("")),
            reasons=[{"code": reason.code, "text": reason.text} for reason in written.reasons],
            complexity=self._complexity(ask.text),
            scores={"before": self._score(ask.text), "after": self._score(written.text)},
            violations=[],
            usage=usage_of(written.spent),
            latency_ms=round((self.clock() - began) * 1000, 1),
        )
        self._capture(tenant, ask, answer)
        return answer

    def _complexity(self, text: str) -> dict[str, Any]:
        return (self.account.ranking(text).complexity if self.account else complexity(text)).to_dict()

    def _score(self, text: str) -> dict[str, float]:
        return self.account.score(text) if self.account else score(text)

    def _picking(self, tenant: Tenant, wish: str | None) -> Pick:
        """The catalogue is read once for all paragraphs of a text, and each model is looked at once."""
        try:
            entries = self.catalogue.entries(tenant)
            if wish not in (None, "", AUTO) and not any(wish in (entry.id, entry.name) for entry in entries):
                entries = self.catalogue.entries(tenant, now=True)  # it may have been deployed a moment ago
        except Unavailable as error:
            if wish not in (None, "", AUTO, RULES.id):
                raise
            choice = choose([RULES], tenant.tier, "", wish)
            without = replace(choice, reasons=(Reason("catalogue", str(error)), *choice.reasons))
            return lambda text: without
        seen: dict[str, str | None] = {}

        def obstacle(entry: Entry) -> str | None:
            if entry.id not in seen:
                seen[entry.id] = self.obstacle(entry)
            return seen[entry.id]

        account = self.account
        order = account.order if account else lambda text: None
        return lambda text: choose(entries, tenant.tier, text, wish, obstacle=obstacle, order=order(text))

    def _written(self, pick: Pick, ask: Ask, deadline: float) -> Written:
        parts = paragraphs.split(ask.text)
        bare = not any(part.body for part in parts)
        if not bare and paragraphs.long(ask.text):
            return self._in_parts(pick, ask, parts, deadline)
        choice = pick(ask.text)
        if bare and not choice.wished:
            choice = replace(choice, routes=(RULES,), reasons=(_NO_PROSE,))
        return self._answer(choice, ask, deadline)

    def _in_parts(self, pick: Pick, ask: Ask, parts: Sequence[Part], deadline: float) -> Written:
        """Every paragraph by whoever suits it. Where the rules alone may answer, they see the text as a whole."""
        choices = _each(pick, parts)
        if (alone := _by_rules(choices)) is not None:
            return self._answer(alone, ask, deadline)
        written = self._all(choices, [replace(ask, text=part.body) for part in parts], deadline)
        if choices[0].wished:
            hold_faithful(choices[0].routes[0], parts, written)
        bodies, broken = paragraphs.mend(ask.text, parts, [one.text for one in written])
        if not broken:
            return whole(parts, bodies, written)
        if choices[0].wished:
            draft = paragraphs.join(parts, [one.text for one in written])
            raise unfaithful(choices[0].routes[0].id, draft, broken)
        reasons = (_BROKEN, *merged([one.reasons for one in written]))
        ruled = self._answer(Choice((RULES,), reasons, wished=False), ask, deadline)
        return replace(ruled, spent=(*(cost for one in written for cost in one.spent), *ruled.spent))

    def _released(self, pick: Pick, ask: Ask, deadline: float, leave: threading.Event) -> Generator[str, None, Written]:
        """As `_written`, piece by piece: a paragraph that breaks what stands before it stays as it was."""
        parts = paragraphs.split(ask.text)
        long = any(part.body for part in parts) and paragraphs.long(ask.text)
        choices = _each(pick, parts) if long else []
        if not choices or _by_rules(choices) is not None:
            written = self._written(pick, ask, deadline)
            yield from paragraphs.pieces(written.text)
            return written
        released, each = Released(), list[Written]()
        pool = ThreadPoolExecutor(self.parallel, "paragraph")
        asks = [replace(ask, text=part.body) for part in parts]
        futures = [pool.submit(self._answer, *given, deadline) for given in zip(choices, asks, strict=True)]
        try:
            for part, choice, future in zip(parts, choices, futures, strict=True):
                each.append(future.result())
                piece, broken = released.take(part, each[-1].text)
                if broken and choice.wished:
                    raise unfaithful(choice.routes[0].id, each[-1].text, broken)
                yield piece
        finally:
            leave.set()
            pool.shutdown(cancel_futures=True)
        return whole(parts, released.bodies, each)

    def _all(self, choices: Sequence[Choice], asks: Sequence[Ask], deadline: float) -> list[Written]:
        """Whatever the model that was asked for wrote, faithful or not; any other failure of it at once."""
        with ThreadPoolExecutor(self.parallel, "paragraph") as pool:
            futures = [
                pool.submit(self._answer, choice, ask, deadline, strict=False)
                for choice, ask in zip(choices, asks, strict=True)
            ]
            try:
                return [future.result() for future in futures]
            except MillraceError:
                for future in futures:
                    future.cancel()
                raise

    def _answer(self, choice: Choice, ask: Ask, deadline: float, strict: bool = True) -> Written:
        """`strict`: a named model's rewrite that does not verify is an error here, and not for who asked to see."""
        reasons = list(choice.reasons)
        spent: list[tuple[Entry, Completion]] = []
        violations_of = against(ask.text)
        for entry in choice.routes:
            if self.stopped is not None and self.stopped():
                raise Abandoned("Nobody waits for this text any more.")
            left_s = deadline - self.clock() - (0 if choice.wished else RULES_RESERVE_S)
            if entry.id != RULES.id and left_s <= 0:
                late = f"{entry.id} was passed over: no time was left for it"
                if choice.wished:
                    raise Unavailable(late + ".")
                reasons.append(Reason("deadline", late))
                continue
            called = self.clock()
            try:
                with meanwhile(lambda: self._ahead(violations_of)):
                    completion = self._call(entry, ask, called + left_s)
            except MillraceError as error:
                if isinstance(error, CutOff):
                    spent.append((entry, error.completion))
                    self._learn(entry, ask, error.completion, False, called)
                if choice.wished or isinstance(error, Abandoned):
                    raise
                reasons.append(Reason("unavailable", str(error)))
                continue
            spent.append((entry, completion))
            violations = [*violations_of(completion.text), *_strange(entry, ask.text, completion.text)]
            self._learn(entry, ask, completion, not violations, called)
            if not violations:
                answered = Reason("answered", f"{entry.id} answered and its rewrite verified")
                return Written(completion.text, entry, (answered, *reasons), tuple(spent))
            if choice.wished and strict:
                raise unfaithful(entry.id, completion.text, violations)
            reasons.append(Reason("unfaithful", summary(entry.id, violations)))
            if choice.wished:
                return Written(completion.text, entry, tuple(reasons), tuple(spent))
        # The rules verify their own rewrite; should that ever fail, the text itself is the faithful answer.
        reasons.append(Reason("unchanged", "no rewrite verified, so the text is returned as it is"))
        return Written(ask.text, RULES, tuple(reasons), tuple(spent))

    def _ahead(self, verifier: Against) -> None:
        """While a model writes: what will be asked of the text itself."""
        verifier.read()
        if self.account is not None:
            self.account.ahead()

    def _learn(self, entry: Entry, ask: Ask, completion: Completion, faithful: bool, called: float) -> None:
        if self.account is not None:
            self.account.learn(entry, ask.text, completion, faithful, self.clock() - called)

    def _call(self, entry: Entry, ask: Ask, until: float) -> Completion:
        if self.account is None:
            return self._tried(entry, ask, until)
        return self.account.call(entry, ask, lambda: self._tried(entry, ask, until))

    def _tried(self, entry: Entry, ask: Ask, until: float) -> Completion:
        if self.calls is None or entry.id == RULES.id:
            return self._complete(entry, ask, until - self.clock())
        return self.calls.make(entry, until, lambda left_s: self._complete(entry, ask, left_s))

    def _complete(self, entry: Entry, ask: Ask, left_s: float) -> Completion:
        """The provider's answer, or Unavailable when its time is up or what it said is no answer."""
        if entry.id == RULES.id:
            return self.provide(entry.provider)(entry, ask, left_s)
        spec = PROVIDERS.get(entry.provider)
        if spec is not None and spec.bounded and self.stopped is None:
            answer = alone(lambda: self.provide(entry.provider)(entry, ask, left_s), entry.id)
        else:
            answer = within(left_s, lambda: self.provide(entry.provider)(entry, ask, left_s), entry.id, self.stopped)
        if not isinstance(answer.text, str) or not answer.text.strip():
            raise Unavailable(f"{entry.id} answered without a text.")
        if not answer.text.isascii() and _SURROGATE.search(answer.text):
            raise Unavailable(f"{entry.id} answered something that is not text.")
        return answer

    def _capture(self, tenant: Tenant, ask: Ask, answer: Answer) -> None:
        learning = self.account.remembered(answer.model_id) if self.account else None
        point = DataPoint(
            id=answer.decision_id,
            origin=Origin.ANSWER,
            source=ask.text,
            target=answer.text,
            created_at=stamp(),
            origin_ref=answer.decision_id,
            model_id=answer.model_id,
            scores=answer.scores,
            decision={"reasons": answer.reasons, "strength": ask.strength, "tone": ask.tone, "learning": learning},
        )
        try:
            self.corpus.capture(tenant, point)
        except MillraceError as error:
            self.on_lost_capture(error)


_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_PROSE = Reason("unchanged", "the text is code, tables and headings alone: there is nothing to rewrite")

_TOO_SMALL = Reason("parts", f"the text has over {paragraphs.MOST_PARTS} parts: the smaller ones go by rules")
_BROKEN = Reason("unfaithful", "the paragraphs verified and the whole of them did not, so the rules rewrote it")


def _each(pick: Pick, parts: Sequence[Part]) -> list[Choice]:
    """Who may answer each paragraph; of very many the smaller ones go by rules."""
    return [
        choice if choice.wished or worthy else replace(choice, routes=(RULES,), reasons=(_TOO_SMALL,))
        for choice, worthy in zip(map(pick, [part.body for part in parts]), paragraphs.worthy(parts), strict=True)
    ]


def _by_rules(choices: Sequence[Choice]) -> Choice | None:
    """The one choice for the whole text, where the rules alone may answer."""
    if any(choice.routes != (RULES,) for choice in choices):
        return None
    return replace(choices[0], reasons=merged([choice.reasons for choice in choices]))


def _strange(entry: Entry, source: str, rewrite: str) -> list[Violation]:
    """Changes of words that the training of an own model never showed."""
    fit = Fit.from_dict(entry.fit)
    return [Violation("substitution", before, after) for before, after in fit.strange(source, rewrite)]


def check(text: str) -> None:
    """InvalidInput for a text that is none, TooLarge for one that one answer cannot hold."""
    if not text.strip():
        raise InvalidInput("The text is empty; send the text to be humanized.")
    if len(text) > MAX_TEXT:
        raise TooLarge(f"The text has {len(text):,} characters; at most {MAX_TEXT:,} are taken at once.")
    if more_words(text, MAX_WORDS):
        words = count_words(text)
        raise TooLarge(f"The text has {words:,} words; at most {MAX_WORDS:,} are taken at once. Send it in pieces.")
    check_unicode("text", text)
