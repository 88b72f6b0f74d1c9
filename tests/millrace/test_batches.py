from __future__ import annotations

import threading

import pytest
from millrace.batches import MAX_CHARACTERS, MAX_TEXTS, PARALLEL, humanize_all
from millrace.catalogue import RULES, Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import InvalidInput, NotFound, TooLarge, Unavailable, Unfaithful
from millrace.humanize import Humanizer
from millrace.providers import Ask, Completion, Provider, provider
from millrace.tenants import Tenant

from tests.fakes import World

ACME = Tenant("acme", Tier.ENTERPRISE)
TEXT = "Moreover, it is important to note that we utilize {} servers in Berlin."


def texts(count: int) -> list[tuple[str, Ask]]:
    return [(f"t{n}", Ask(TEXT.format(n))) for n in range(count)]


def humanizer(play: Provider | None = None, deadline_s: float = 25.0) -> Humanizer:
    world = World()
    if play is not None:
        Catalogue(world.table).publish(ACME, Entry("writer@1", "scripted"))

    def provide(name: str) -> Provider:
        return provider("rules") if name == "rules" or play is None else play

    return Humanizer(Catalogue(world.table), world.corpus, deadline_s, provide)


def test_each_text_has_its_own_answer_in_the_order_of_the_request() -> None:
    outcomes = humanize_all(humanizer(), ACME, texts(30))

    assert [outcome.id for outcome in outcomes] == [f"t{n}" for n in range(30)]
    for n, outcome in enumerate(outcomes):
        assert outcome.error is None and outcome.answer is not None
        assert f"{n} servers" in outcome.answer.text and "Berlin" in outcome.answer.text
    assert len({outcome.answer.decision_id for outcome in outcomes if outcome.answer}) == 30


def test_a_text_that_cannot_be_answered_fails_alone() -> None:
    asks = [("a", Ask(TEXT.format(1))), ("empty", Ask(" ")), ("odd", Ask("\ud800")), ("long", Ask("x " * 3_001))]

    outcomes = {outcome.id: outcome for outcome in humanize_all(humanizer(), ACME, asks)}

    assert outcomes["a"].answer is not None
    assert [type(outcomes[id].error) for id in ("empty", "odd", "long")] == [InvalidInput, InvalidInput, TooLarge]


def test_a_named_model_fails_for_the_texts_that_it_lies_about_and_no_others() -> None:
    def play(entry: Entry, ask: Ask, timeout_s: float) -> Completion:
        return Completion("We use 99 servers in Munich." if " 3 " in ask.text else ask.text)

    outcomes = humanize_all(humanizer(play), ACME, texts(6), "writer@1")

    assert [outcome.id for outcome in outcomes if outcome.error] == ["t3"]
    assert isinstance(outcomes[3].error, Unfaithful) and outcomes[3].error.draft


def test_a_model_that_is_not_there_is_each_texts_problem() -> None:
    assert all(isinstance(o.error, NotFound) for o in humanize_all(humanizer(), ACME, texts(3), "nobody"))


def test_no_more_texts_are_at_work_at_a_time_than_stated() -> None:
    lock, now, most, full = threading.Lock(), [0], [0], threading.Event()

    def play(entry: Entry, ask: Ask, timeout_s: float) -> Completion:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] == PARALLEL:
                full.set()
        assert full.wait(10)
        with lock:
            now[0] -= 1
        return Completion(ask.text)

    assert all(outcome.answer for outcome in humanize_all(humanizer(play), ACME, texts(20)))
    assert most == [PARALLEL]


def test_one_deadline_holds_for_all_and_the_rest_goes_by_rules_or_says_so() -> None:
    release = threading.Event()

    def hang(entry: Entry, ask: Ask, timeout_s: float) -> Completion:
        release.wait(30)
        return Completion(ask.text)

    outcomes = humanize_all(humanizer(hang, 2.3), ACME, texts(12))
    release.set()
    assert {outcome.answer.model_id for outcome in outcomes if outcome.answer} == {RULES.id}
    assert all(outcome.answer for outcome in outcomes), "the rules have two seconds for twelve sentences"


def test_a_text_that_is_not_reached_in_time_can_be_sent_again() -> None:
    outcomes = humanize_all(humanizer(deadline_s=0.0), ACME, texts(3))
    assert [type(outcome.error) for outcome in outcomes] == [Unavailable] * 3


@pytest.mark.parametrize(
    ("asks", "error", "says"),
    [
        ([], InvalidInput, "empty"),
        (texts(MAX_TEXTS + 1), TooLarge, "101 texts"),
        ([*texts(2), ("t1", Ask("x"))], InvalidInput, "'t1' stands twice"),
        ([(str(n), Ask("x" * (MAX_CHARACTERS // 10))) for n in range(11)], TooLarge, "660,000"),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(
    asks: list[tuple[str, Ask]], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        humanize_all(humanizer(), ACME, asks)
