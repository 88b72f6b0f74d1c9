"""A request's account: budgets that step down instead of failing, and a router that learns from its answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from millrace.bandit import Observation
from millrace.books import Books
from millrace.catalogue import Catalogue, Entry
from millrace.complexity import quality_of
from millrace.contract import Tier
from millrace.errors import Forbidden, OverBudget, Unavailable
from millrace.humanize import Humanizer
from millrace.learning import Learning
from millrace.providers import Ask, Completion, CutOff, Provider
from millrace.providers import provider as real
from millrace.providers.counting import most_read
from millrace.providers.prompt import ask_for
from millrace.tenants import Tenant
from millrace.usage import Spending, Usage

from tests.fakes import World

ACME = Tenant("acme", Tier.ENTERPRISE)
TEXT = "Moreover, it is important to note that we utilize 3 servers in Berlin."
FAITHFUL = "We use 3 servers in Berlin."
PAID = Entry("writer", "openai", rank=4, input_usd=1000.0, output_usd=1000.0, pinned_price=True)
THINKING = replace(PAID, capabilities={"thinks": True})


def _humanizer(says: Callable[[], Completion], entry: Entry = PAID) -> Humanizer:
    world = World()
    catalogue = Catalogue(world.table)
    catalogue.publish(ACME, entry)
    books = Books(Usage(world.table, fresh_s=0.0), Learning(world.table, every_s=0.0), 25.0, draw=lambda: 0.5)

    def provide(name: str) -> Provider:
        return real(name) if name == "rules" else lambda entry, ask, timeout_s: says()

    return Humanizer(catalogue, world.corpus, 25.0, provide, books=books)


def _books(humanizer: Humanizer) -> Books:
    assert humanizer.books is not None
    return humanizer.books


def test_what_an_answer_cost_is_on_the_tenants_day() -> None:
    """H7."""
    humanizer = _humanizer(lambda: Completion(FAITHFUL, 20, 8))

    answer = humanizer.humanize(ACME, Ask(TEXT))

    standing = _books(humanizer).usage.standing(ACME)
    assert answer.model_id == "writer"
    assert standing.spent_usd == pytest.approx(answer.usage["cost_usd"]) == pytest.approx(0.028)
    assert standing.held_usd == 0 and standing.calls == 1


def test_without_room_in_the_budget_the_rules_answer_and_a_named_model_says_no() -> None:
    """H7: stepping down instead of failing."""
    humanizer = _humanizer(lambda: pytest.fail("a call without a hold"))
    _books(humanizer).usage.set_policy(ACME, Spending(daily_usd=0.001))

    answer = humanizer.humanize(ACME, Ask(TEXT))

    assert answer.model_id == "rules"
    assert any("budget" in reason["text"] for reason in answer.reasons)
    with pytest.raises(Forbidden, match="budget"):
        humanizer.humanize(ACME, Ask(TEXT), "writer")


def test_a_call_that_timed_out_is_counted_at_its_forecast() -> None:
    """H7: the provider may bill it."""

    def silent() -> Completion:
        raise Unavailable("writer did not answer in time.")

    humanizer = _humanizer(silent)

    assert humanizer.humanize(ACME, Ask(TEXT)).model_id == "rules"

    standing = _books(humanizer).usage.standing(ACME)
    assert standing.spent_usd > 0 and standing.held_usd == 0


def test_a_reply_that_was_cut_off_costs_what_it_took_and_teaches_the_router() -> None:
    """H7, H15: the provider bills the thinking that left no room for an answer."""

    def cut() -> Completion:
        raise CutOff(PAID, Completion("We", 20, 4_000, finish="length"))

    humanizer = _humanizer(cut)
    before = _books(humanizer).learning.state(ACME).arms

    answer = humanizer.humanize(ACME, Ask(TEXT))

    standing = _books(humanizer).usage.standing(ACME)
    belief = _books(humanizer).learning.state(ACME).arms["writer"]
    assert answer.model_id == "rules" and "writer" not in before
    assert standing.spent_usd == pytest.approx(answer.usage["cost_usd"]) == pytest.approx(4.02)
    assert standing.held_usd == 0 and belief.count == 1 and belief.mean[0] < quality_of(PAID)
    with pytest.raises(CutOff):
        humanizer.humanize(ACME, Ask(TEXT), "writer")
    assert _books(humanizer).usage.standing(ACME).spent_usd == pytest.approx(8.04)


def test_a_day_is_not_overspent_by_calls_at_once_that_each_take_all_that_their_request_allows() -> None:
    """H7: the hold is the limit that the request bears, thinking included."""
    talk = ask_for(THINKING, Ask(TEXT))
    at_once = threading.Barrier(4)

    def thorough() -> Completion:
        at_once.wait(timeout=10)
        return Completion(FAITHFUL, most_read(talk), talk.max_tokens)

    humanizer = _humanizer(thorough, THINKING)
    most = most_read(talk) / 1000 + talk.max_tokens / 1000
    _books(humanizer).usage.set_policy(ACME, Spending(daily_usd=4.5 * most))

    def ask(_: int) -> str:
        try:
            return humanizer.humanize(ACME, Ask(TEXT), "writer").model_id
        except OverBudget:
            return "no room"

    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(ask, range(12)))

    standing = _books(humanizer).usage.standing(ACME)
    assert sorted(told) == ["no room"] * 8 + ["writer"] * 4
    assert standing.spent_usd == pytest.approx(4 * most) and standing.held_usd == 0


def test_near_the_budget_a_cheaper_model_answers_where_the_thinking_one_has_no_room() -> None:
    """H7."""
    humanizer = _humanizer(lambda: Completion(FAITHFUL, 20, 8), THINKING)
    humanizer.catalogue.publish(ACME, replace(PAID, id="cheap", input_usd=1.0, output_usd=1.0, rank=2))
    _books(humanizer).usage.set_policy(ACME, Spending(daily_usd=1.0))

    answer = humanizer.humanize(ACME, Ask(TEXT))

    asked = [reason["text"] for reason in answer.reasons]
    assert answer.model_id == "cheap"
    assert _books(humanizer).usage.standing(ACME).left_usd == pytest.approx(1.0, abs=0.01), asked


def test_the_router_learns_from_each_answer_and_keeps_it_with_the_decision() -> None:
    """H15."""
    humanizer = _humanizer(lambda: Completion("We use 4 servers in Berlin.", 20, 8))

    first = humanizer.humanize(ACME, Ask(TEXT))

    belief = _books(humanizer).learning.state(ACME).arms["writer"]
    assert first.model_id == "rules" and belief.count == 1

    humanizer = _humanizer(lambda: Completion(FAITHFUL, 20, 8))
    answer = humanizer.humanize(ACME, Ask(TEXT))
    kept = humanizer.corpus.get(ACME, answer.decision_id).decision["learning"]
    seen = Observation.from_dict(kept).rated(0.0, time.time())
    before = _books(humanizer).learning.state(ACME).arms["writer"].mean[0]
    _books(humanizer).learning.observe(ACME, seen)
    assert kept["reward"] > 0.5
    assert _books(humanizer).learning.state(ACME).arms["writer"].mean[0] < before
