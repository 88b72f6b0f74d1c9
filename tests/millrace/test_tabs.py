from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from millrace import providers
from millrace.breakers import Breakers
from millrace.calls import Calls
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import OverBudget, ProviderRefused, Unavailable
from millrace.providers import Completion, Message, Talk
from millrace.retries import Policy
from millrace.tabs import OUTPUT
from millrace.talking import Talking
from millrace.tenants import Tenant
from millrace.usage import Spending, Usage

from tests.fakes import World

ACME = Tenant("acme", Tier.ENTERPRISE)
ROW = Entry(
    "talker@1", "custom", base_url="https://llm.example.com", input_usd=1.0, output_usd=10.0, max_output=128_000
)
HELLO = Talk((Message("user", "Hello"),))
Play = Callable[[Entry, Talk, float], Any]


@pytest.fixture
def talking(monkeypatch: pytest.MonkeyPatch) -> Callable[[Play, float | None], Talking]:
    """A conversation with a model that does what it is told, under a daily budget."""

    def talking(play: Play, daily_usd: float | None) -> Talking:
        monkeypatch.setattr(providers, "chat", play)
        monkeypatch.setattr(providers, "stream", play)
        table = World().table
        Catalogue(table).publish(ACME, ROW)
        usage = Usage(table)
        usage.set_policy(ACME, Spending(daily_usd))
        return Talking(Catalogue(table), 5.0, Calls(Breakers(table), policy=Policy(base_s=0.0)), usage=usage)

    return talking


def _spent(made: Talking) -> tuple[float, float]:
    assert made.usage is not None
    made.usage._standing.clear()
    standing = made.usage.standing(ACME)
    return round(standing.spent_usd, 9), standing.held_usd


def test_an_answer_is_charged_for_what_it_took_and_nothing_stays_held(talking: Any) -> None:
    made = talking(lambda *_: Completion("Good day.", 1_000, 500), 10.0)

    assert made.talk(ACME, ROW.id, HELLO).cost_usd == pytest.approx(0.006)
    assert _spent(made) == (0.006, 0.0)


def test_near_the_budget_answers_get_shorter_and_at_its_end_there_are_none(talking: Any) -> None:
    limits: list[int] = []

    def play(entry: Entry, talk: Talk, left_s: float) -> Completion:
        limits.append(talk.max_tokens)
        return Completion("Good day.", 10, talk.max_tokens)

    made = talking(play, 0.22)

    with pytest.raises(OverBudget, match="no room"):
        for _ in range(50):
            made.talk(ACME, ROW.id, HELLO)
    assert limits == sorted(limits, reverse=True) and set(limits) == set(OUTPUT)
    assert _spent(made)[0] <= 0.22


def test_the_callers_own_limit_is_what_is_held_for(talking: Any) -> None:
    made = talking(lambda *_: Completion("Good day.", 10, 10), 0.01)

    made.talk(ACME, ROW.id, Talk(HELLO.messages, max_tokens=500))
    with pytest.raises(OverBudget):
        made.talk(ACME, ROW.id, Talk(HELLO.messages, max_tokens=5_000))


def test_without_a_budget_the_request_is_left_as_it_is_and_counted(talking: Any) -> None:
    seen: list[Talk] = []
    made = talking(lambda entry, talk, left_s: seen.append(talk) or Completion("Good day.", 1_000, 500), None)

    made.talk(ACME, ROW.id, HELLO)

    assert seen == [HELLO]
    assert _spent(made) == (0.006, 0.0)


def test_many_at_once_never_overspend(talking: Any) -> None:
    made = talking(lambda entry, talk, left_s: Completion("Good day.", 10, talk.max_tokens), 0.1)
    refused: list[int] = []

    def ask() -> None:
        try:
            made.talk(ACME, ROW.id, Talk(HELLO.messages, max_tokens=1_000))
        except OverBudget:
            refused.append(1)

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused and _spent(made)[0] <= 0.1 and _spent(made)[1] == 0.0


@pytest.mark.parametrize(("error", "charged"), [(ProviderRefused("no key"), False), (Unavailable("gone"), True)])
def test_what_may_have_been_billed_is_charged_and_a_refusal_is_not(
    talking: Any, error: Exception, charged: bool
) -> None:
    def play(*_: Any) -> Completion:
        raise error

    made = talking(play, 10.0)
    with pytest.raises(type(error)):
        made.talk(ACME, ROW.id, HELLO)

    spent, held = _spent(made)
    assert (spent > 0, held) == (charged, 0.0)


def _pieces(*_: Any) -> Iterator[str | Completion]:
    yield from ("Good ", "day, ", "all of you.")
    yield Completion("Good day, all of you.", 1_000, 500)


def test_a_stream_is_charged_when_it_has_ended(talking: Any) -> None:
    made = talking(_pieces, 10.0)

    assert len(list(made.stream(ACME, ROW.id, HELLO))) == 4
    assert _spent(made) == (0.006, 0.0)


def test_a_stream_whose_reader_leaves_is_charged_for_what_was_said(talking: Any) -> None:
    made = talking(_pieces, 10.0)

    stream = made.stream(ACME, ROW.id, HELLO)
    next(stream), next(stream)
    stream.close()

    spent, held = _spent(made)
    assert 0 < spent < 0.006 and held == 0.0


def test_a_stream_without_room_fails_before_its_first_piece(talking: Any) -> None:
    made = talking(_pieces, 0.0001)

    with pytest.raises(OverBudget):
        next(made.stream(ACME, ROW.id, HELLO))
