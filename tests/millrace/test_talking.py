from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from millrace import providers
from millrace.breakers import Breakers
from millrace.calls import Calls
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import (
    Declined,
    Forbidden,
    InvalidInput,
    LeftAlone,
    MillraceError,
    NotFound,
    ProviderRefused,
    TooLarge,
    Unavailable,
)
from millrace.prices import charge
from millrace.providers import Completion, Message, Talk
from millrace.retries import Policy
from millrace.talking import MOST_CHARACTERS, Reply, Talking
from millrace.tenants import Tenant

from tests.fakes import World

ACME = Tenant("acme", Tier.ENTERPRISE)
ROW = Entry("talker@1", "custom", base_url="https://llm.example.com", input_usd=1.0, output_usd=4.0, context=1000)
OWN = Entry("clear@1", "own", endpoint="e-clear")
HELLO = Talk((Message("system", "Be brief."), Message("user", "Hello")))


@dataclass
class Model:
    """A provider that plays one line after another, and a record of what it was asked."""

    lines: list[Any] = field(default_factory=lambda: [Completion("Good day.", 30, 10)])
    asked: list[tuple[str, Talk, float]] = field(default_factory=list)

    def chat(self, entry: Entry, talk: Talk, timeout_s: float) -> Completion:
        self.asked.append((entry.id, talk, timeout_s))
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, Exception):
            raise line
        done: Completion = line() if callable(line) else line
        return done

    def stream(self, entry: Entry, talk: Talk, timeout_s: float) -> Iterator[str | Completion]:
        whole = self.chat(entry, talk, timeout_s)
        yield from whole.text.split(" ")
        yield whole


@dataclass
class Stage:
    talking: Talking
    model: Model


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    def staged(*lines: Any, deadline_s: float = 5.0, **more: Any) -> Stage:
        model = Model(list(lines)) if lines else Model()
        monkeypatch.setattr(providers, "chat", model.chat)
        monkeypatch.setattr(providers, "stream", model.stream)
        table = World().table
        Catalogue(table).publish(ACME, ROW)
        Catalogue(table).publish(ACME, OWN)
        calls = Calls(Breakers(table), policy=Policy(base_s=0.0))
        return Stage(Talking(Catalogue(table), deadline_s, calls, **more), model)

    return staged


def test_the_model_gets_the_conversation_as_it_is_and_its_answer_is_priced(staged: Callable[..., Stage]) -> None:
    stage = staged()

    reply = stage.talking.talk(ACME, "talker@1", HELLO)

    assert reply == Reply("talker@1", Completion("Good day.", 30, 10), (30 * 1.0 + 10 * 4.0) / 1e6)
    ((asked, talk, left_s),) = stage.model.asked
    assert (asked, talk) == ("talker@1", HELLO) and 4.0 < left_s <= 5.0
    assert reply.cost_usd == charge(ROW, reply.completion).cost_usd


def test_a_stream_is_its_pieces_and_then_the_reply(staged: Callable[..., Stage]) -> None:
    stage = staged()

    *pieces, last = stage.talking.stream(ACME, "clear@1", HELLO)

    assert pieces == ["Good", "day."]
    assert last == Reply("clear@1", Completion("Good day.", 30, 10), 0.0)


def test_a_failure_that_may_pass_is_tried_again_and_a_refusal_is_not(staged: Callable[..., Stage]) -> None:
    passing = staged(Unavailable("busy"), Completion("Good day.", 1, 1))
    assert passing.talking.talk(ACME, "talker@1", HELLO).completion.text == "Good day."
    assert len(passing.model.asked) == 2

    refusing = staged(ProviderRefused("no quota"))
    with pytest.raises(ProviderRefused, match="no quota"):
        refusing.talking.talk(ACME, "talker@1", HELLO)
    assert len(refusing.model.asked) == 1


def test_a_model_that_refused_is_left_alone_whole_and_streamed(staged: Callable[..., Stage]) -> None:
    stage = staged(ProviderRefused("no quota"))
    with pytest.raises(ProviderRefused):
        next(stage.talking.stream(ACME, "talker@1", HELLO))

    with pytest.raises(LeftAlone, match="talker@1 is left alone"):
        stage.talking.talk(ACME, "talker@1", HELLO)
    with pytest.raises(LeftAlone):
        next(stage.talking.stream(ACME, "talker@1", HELLO))

    assert len(stage.model.asked) == 1


def test_a_model_that_hangs_is_given_up_at_the_deadline(staged: Callable[..., Stage]) -> None:
    from threading import Event

    release = Event()

    def hang() -> Completion:
        release.wait(30)
        return Completion("late")

    stage, began = staged(hang, deadline_s=0.2), time.monotonic()

    with pytest.raises(Unavailable, match="talker@1 did not answer within"):
        stage.talking.talk(ACME, "talker@1", HELLO)

    assert time.monotonic() - began < 2.0
    release.set()


@pytest.mark.parametrize(
    ("model", "talk", "error"),
    [
        ("nobody", HELLO, NotFound),
        ("talker@1", Talk((Message("system", "Hi"),)), InvalidInput),
        ("talker@1", Talk((Message("user", "\ud800"),)), InvalidInput),
        ("talker@1", Talk((Message("user", "Hello"),), stop=("END", "\ud800")), InvalidInput),
        ("talker@1", Talk((Message("user", "a" * (MOST_CHARACTERS + 1)),)), TooLarge),
        ("talker@1", Talk((Message("user", "word " * 1000),)), Declined),
    ],
)
def test_what_can_never_work_is_refused_before_anybody_is_asked(
    staged: Callable[..., Stage], model: str, talk: Talk, error: type[MillraceError]
) -> None:
    stage = staged()

    with pytest.raises(error):
        stage.talking.talk(ACME, model, talk)
    with pytest.raises(error):
        next(stage.talking.stream(ACME, model, talk))

    assert stage.model.asked == []


def test_a_tier_and_an_obstacle_are_told(staged: Callable[..., Stage]) -> None:
    stage = staged(obstacle=lambda entry: "there is no key")

    with pytest.raises(Forbidden):
        stage.talking.talk(Tenant("acme", Tier.BASIC), "clear@1", HELLO)
    with pytest.raises(ProviderRefused, match="there is no key"):
        stage.talking.talk(ACME, "clear@1", HELLO)
