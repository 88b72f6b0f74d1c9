"""Who proposes the next CNNs. Pure: the history of a search in, proposals as Specs out; the draw is handed in.

`guided` asks a language model through the callable that it is given, three times at most; what comes back is read as
data by the closed schema, held against the budget and against what was tried, or refused with a reason that the next
question carries. After FAILURES questions in vain, now or over the rounds before, and with nobody to ask, `evolve` goes
on alone.

A round as a stateless step: `guided(ask, search, history, n, failures, draw)`, `failures` of the round before handed
back in; `ask` takes chat messages and returns the text, and may raise Unavailable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Protocol

from .architecture import Spec, admit, digest
from .errors import InvalidInput, Unavailable
from .evolution import evolve
from .history import Proposed, Search, Source, Tried, best, signature

FAILURES: Final = 3
"""Questions in vain after which no more is asked in a search."""
MOST: Final = 32
"""Proposals read of one reply."""
REPLY_CHARACTERS: Final = 200_000
SHOWN_BEST, SHOWN_FAILED = 12, 6

Messages = list[dict[str, str]]
Ask = Callable[[Messages], str]


class Proposer(Protocol):
    """Anything that reads the history and proposes `n` candidates at most."""

    def propose(self, history: Sequence[Tried], n: int) -> Proposed: ...


@dataclass
class Evolution:
    """The proposer without a machine behind it."""

    search: Search
    draw: Random

    def propose(self, history: Sequence[Tried], n: int) -> Proposed:
        return evolve(self.search, history, n, self.draw)


@dataclass
class Guided:
    """A language model first, evolution when it fails."""

    search: Search
    draw: Random
    ask: Ask | None
    failures: int = 0

    def propose(self, history: Sequence[Tried], n: int) -> Proposed:
        made = guided(self.ask, self.search, history, n, self.failures, self.draw)
        self.failures = made.failures
        return made


def guided(ask: Ask | None, search: Search, history: Sequence[Tried], n: int, failures: int, draw: Random) -> Proposed:
    """`n` proposals: the model's, filled up by evolution where it gave fewer."""
    refused: list[str] = []
    specs: list[Spec] = []
    asked = 0
    while ask is not None and not specs and asked < FAILURES and failures < FAILURES:
        asked += 1
        try:
            reply = read(ask(messages(search, history, n, refused)), search, history)
        except (InvalidInput, Unavailable) as error:
            refused.append(str(error)[:300])
            failures += 1
            continue
        refused += reply.refused
        specs = reply.specs[:n]
        failures = 0 if specs else failures + 1
    if not specs:
        made = evolve(search, history, n, draw)
        return replace(made, failures=failures, refused=refused)
    known = [*history, *(_seen(spec) for spec in specs)]
    filled = evolve(search, known, n - len(specs), draw)
    others: dict[str, Source] = {digest(spec): filled.source for spec in filled.specs}
    return Proposed(specs + filled.specs, "llm", failures, refused, filled.parents, others)


# --- a model's reply --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Reply:
    specs: list[Spec]
    refused: list[str]


def read(text: str, search: Search, history: Iterable[Tried]) -> Reply:
    """The proposals in a reply that fit and are new. InvalidInput where it holds no JSON at all."""
    known = {signature(tried.spec) for tried in history}
    specs: list[Spec] = []
    refused: list[str] = []
    for number, raw in enumerate(_proposals(text), 1):
        if number > MOST:
            refused.append(f"More than {MOST} proposals: the rest was not read.")
            break
        try:
            spec = admit(raw, search.task, search.budget)
        except InvalidInput as error:
            refused.append(f"Proposal {number}: {error}")
            continue
        if signature(spec) in known:
            refused.append(f"Proposal {number}: nearly the same was tried already.")
            continue
        known.add(signature(spec))
        specs.append(spec)
    return Reply(specs, refused)


_FENCE: Final = re.compile(r"```[a-zA-Z]*\n(.*?)```", re.DOTALL)


def _proposals(text: str) -> list[Any]:
    if len(text) > REPLY_CHARACTERS:
        raise InvalidInput(f"The reply has {len(text):,} characters; at most {REPLY_CHARACTERS:,} are read.")
    for piece in (text, *_FENCE.findall(text), *_from_first_bracket(text)):
        try:
            found = json.loads(piece)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            inner = found.get("proposals", [found])
            found = inner if isinstance(inner, list) else [inner]
        if isinstance(found, list):
            return found
    raise InvalidInput("The reply holds no JSON list of proposals.")


def _from_first_bracket(text: str) -> Iterator[str]:
    """Words before and after the JSON are left out."""
    for opening, closing in ("[]", "{}"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end:
            yield text[start : end + 1]


def messages(search: Search, history: Sequence[Tried], n: int, refused: Sequence[str] = ()) -> Messages:
    """What the model is asked: the schema, the budget, what was tried. It is told that nothing it says is run."""
    task, budget = search.task, search.budget
    system = (
        "You propose convolutional networks for an automatic search. Answer with one JSON object "
        '{"proposals": [...]} and nothing else. Your answer is read as data by a closed schema and never executed. '
        "A proposal: {blocks: [...], head: {...}, training: {...}, note: short text}.\n" + _SCHEMA
    )
    limits = {name: getattr(budget, name) for name in ("parameters", "flops", "layers", "memory_bytes")}
    asked = {
        "task": task.model_dump() | {"description": search.description[:500]},
        "budget": limits,
        "wanted": n,
        "tried_best_first": [_told(tried) for tried in best(history)[:SHOWN_BEST]],
        "failed": [_told(tried) for tried in history if tried.state == "failed"][-SHOWN_FAILED:],
        "your_last_refused": list(refused)[-8:],
    }
    user = (
        "Propose networks that should do better than those tried, each clearly different from them and from each "
        "other; vary optimizer, learning_rate, batch_size, dropout, epochs and augmentation too.\n"
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": user + json.dumps(asked)}]


_SCHEMA: Final = """Blocks, in order from the image:
{"kind":"conv"|"separable"|"residual","filters":4..1024,"kernel":1|3|5|7,"stride":1|2,"norm":"batch"|"group"|"layer"|
"none","activation":"relu"|"leaky_relu"|"elu"|"gelu"|"silu"|"mish"|"hardswish"}; residual also "squeeze":0|2|4|8|16
{"kind":"squeeze_excite","ratio":2|4|8|16} {"kind":"pool","mode":"max"|"avg","size":2|3}
{"kind":"norm","norm":"batch"|"group"|"layer"} {"kind":"activation","activation":...} {"kind":"dropout","rate":0..0.8}
head: {"pool":"avg"|"max"|"flatten","dense":[0 to 3 widths],"activation":...,"dropout":0..0.8}
training: {"optimizer":"adam"|"adamw"|"sgd"|"rmsprop"|"lion","learning_rate":1e-5..1,"weight_decay":0..0.5,
"momentum":0..0.99,"batch_size":8..1024,"epochs":1..300,"schedule":"one_cycle"|"cosine"|"constant","warmup":0..0.5,
"label_smoothing":0..0.3,"augmentation":{"shift":0..0.3,"rotate":0..45,"scale":0..0.4,"flip":bool,"noise":0..0.5,
"cutout":0..0.6,"mixup":0..1}}"""


def _told(tried: Tried) -> dict[str, Any]:
    spec = tried.spec.model_dump(exclude={"note"}, exclude_defaults=True)
    told = {"accuracy": tried.accuracy, "epochs": tried.epochs, "parameters": tried.parameters, "error": tried.error}
    return {"spec": spec} | {name: value for name, value in told.items() if value is not None}


def _seen(spec: Spec) -> Tried:
    return Tried(id=digest(spec), number=0, spec=spec, state="stopped")
