"""Requests through the whole humanizer while its models fail in every way: 500 scripts, 5,000 in the long form.

Time is virtual: only a model that works and a retry that waits move it. What the wire itself does to such calls is in
`tests/functions/test_sick_providers.py`, against a server and in real time.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from millrace.books import Books
from millrace.breakers import Breakers
from millrace.calls import Calls
from millrace.catalogue import RULES, Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import Declined, MillraceError, ProviderRefused, Throttled, Unavailable
from millrace.humanize import RULES_RESERVE_S, Answer, Humanizer
from millrace.learning import Learning
from millrace.providers import Ask, Completion, Provider, provider
from millrace.retries import Budget
from millrace.tenants import Tenant
from millrace.text.faithfulness import verify
from millrace.usage import Usage

from tests.fakes import LONG, World

ACME = Tenant("acme", Tier.ENTERPRISE)
EPOCH = 1_800_000_000.0
DEADLINE_S = 25.0
SCRIPTS = 5_000 if LONG else 500
SHORT = "Moreover, it is important to note that we utilize 3 servers in Berlin, and it does not cost over $40."
LONG_TEXT = "\n\n".join(f"In hall {n}, Anna Berg said that we utilize {n * 7} crates, and not one was lost. {SHORT}" * 4
                        for n in range(2, 7))  # fmt: skip
MODELS = ("best", "good", "cheap")
FAULTS: dict[str, Any] = {
    "down": Unavailable("it is down"),
    "busy": Throttled("slow down"),
    "busy for long": Throttled("slow down", 30.0),
    "wrong key": ProviderRefused("its key is wrong"),
    "declined": Declined("it does not take this"),
    "bug": ValueError("a parser tripped"),
    "empty": Completion("  "),
    "nothing": Completion(None),  # type: ignore[arg-type]
    "not text": Completion("We use 3 \ud800 servers."),
    "unfaithful": Completion("We use 4 servers in Paris.", 30, 10),
    "another text": Completion("As an AI language model, I cannot do that.", 30, 10),
    "hang": 1e9,
    "slow": 9.0,
}
"""What a model does instead of answering: raises, answers badly, or takes so many seconds."""


@dataclass
class Sick:
    """Models whose every call meets a fault with the chance of the script, in virtual time."""

    seed: int = 0
    world: World = field(default_factory=World)
    at: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    chance: dict[str, float] = field(default_factory=dict)
    forced: str = ""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        for n, name in enumerate(MODELS):
            row = Entry(name, "custom", input_usd=3.0 - n, output_usd=9.0 - 3 * n, rank=5 - n, base_url="https://m")
            Catalogue(self.world.table).publish(ACME, row)

    def humanizer(self) -> Humanizer:
        table = self.world.table
        wall = lambda: EPOCH + self.at  # noqa: E731 - the clock, in three places
        breakers = Breakers(table, wall, self.random.random)
        calls = Calls(breakers, Budget(), clock=lambda: self.at, sleep=self.sleep, draw=self.random.random)
        books = Books(Usage(table, wall), Learning(table, wall), DEADLINE_S, self.random.random)
        catalogue = Catalogue(table, 2.0, lambda: self.at)
        more: dict[str, Any] = {"provide": self.provide, "calls": calls, "books": books, "clock": lambda: self.at}
        return Humanizer(catalogue, self.world.corpus, DEADLINE_S, parallel=1, **more)

    def sleep(self, seconds: float) -> None:
        self.at += seconds

    def provide(self, name: str) -> Provider:
        return provider("rules") if name == "rules" else self.play

    def play(self, entry: Entry, ask: Ask, timeout_s: float) -> Completion:
        """As a provider that keeps to its time: what takes longer is given up at the deadline."""
        self.calls[entry.id] += 1
        sick = self.random.random() < self.chance.get(entry.id, 0.0)
        name = (self.forced or self.random.choice(sorted(FAULTS))) if sick else ""
        self.faults[name] += 1
        does = FAULTS.get(name, 0.2 + self.random.random())
        takes_s = does if isinstance(does, float) else 0.05
        self.at += min(takes_s, timeout_s)
        if takes_s > timeout_s:
            raise Unavailable(f"{entry.id} did not answer within {timeout_s:.1f} s.")
        if isinstance(does, Exception):
            raise does
        return does if isinstance(does, Completion) else Completion(ask.text.replace("Moreover, it", "It"), 30, 30)


def _held(sick: Sick, text: str, answer: Answer, began: float) -> None:
    assert sick.at - began <= DEADLINE_S + 0.05
    assert answer.text.strip() and verify(text, answer.text) == [] and answer.violations == []
    codes = [reason["code"] for reason in answer.reasons]
    assert codes and ("answered" in codes or answer.text == text)


def test_every_script_ends_in_a_faithful_answer_within_the_deadline() -> None:
    met: Counter[str] = Counter()
    authors: Counter[str] = Counter()
    for number in range(SCRIPTS):
        if number % 25 == 0:  # a fresh world: breakers of a long sickness would hide the later scripts
            sick = Sick(number)
            humanizer = sick.humanizer()
        sick.chance = {name: sick.random.choice([0.0, 0.5, 1.0]) for name in MODELS}
        sick.at += sick.random.choice([0.1, 5.0, 60.0])
        began, text = sick.at, LONG_TEXT if number % 20 == 3 else SHORT

        answer = humanizer.humanize(ACME, Ask(text, seed=number))

        _held(sick, text, answer, began)
        authors[answer.model_id] += 1
        met += sick.faults if number % 25 == 24 else Counter()
    assert set(FAULTS) <= set(met) and set(authors) == {*MODELS, RULES.id}


def test_a_model_that_was_named_answers_or_fails_within_the_deadline() -> None:
    """Nobody else answers in its place, and what does not verify is no success."""
    ended: Counter[str] = Counter()
    for number in range(SCRIPTS // 5):
        sick = Sick(10_000 + number, chance=dict.fromkeys(MODELS, 0.8))
        try:
            answer = sick.humanizer().humanize(ACME, Ask(SHORT), "best")
            assert answer.model_id == "best" and verify(SHORT, answer.text) == []
            ended["answered"] += 1
        except MillraceError as error:
            assert str(error)
            ended[type(error).__name__] += 1
        assert sick.at <= DEADLINE_S + 0.05 and set(sick.calls) <= {"best"}
    assert {"answered", "Unfaithful", "Unavailable", "ProviderRefused"} <= set(ended)


@pytest.mark.parametrize("fault", ["down", "busy", "wrong key", "hang"])
def test_a_provider_that_fails_for_ten_minutes_gets_at_most_1_1_calls_a_request(fault: str) -> None:
    sick = Sick(chance={"best": 1.0, "good": 0.0, "cheap": 0.0}, forced=fault)
    humanizer, requests = sick.humanizer(), 0
    while sick.at < 600:
        sick.at += 3.0
        requests += 1
        answer = humanizer.humanize(ACME, Ask(SHORT, seed=requests))
        assert verify(SHORT, answer.text) == []

    assert 0 < sick.calls["best"] <= 1.1 * requests


@pytest.mark.parametrize("fault", ["wrong key", "hang", "busy for long", "unfaithful"])
def test_why_a_model_did_not_answer_is_told(fault: str) -> None:
    sick = Sick(chance=dict.fromkeys(MODELS, 1.0), forced=fault)

    answer = sick.humanizer().humanize(ACME, Ask(SHORT))

    assert answer.model_id == RULES.id
    told = " ".join(reason["text"] for reason in answer.reasons)
    expected = {"wrong key": "its key is wrong", "hang": "did not answer within", "busy for long": "slow down"}
    assert expected.get(fault, "did not keep: ") in told
    assert sick.at <= DEADLINE_S - RULES_RESERVE_S + 0.05, "time is kept back for the rules"
