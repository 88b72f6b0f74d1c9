"""A request's account: budgets that step down instead of failing, and a router that learns from its answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from millrace.bandit import Observation
from millrace.books import Books
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import Forbidden, Unavailable
from millrace.humanize import Humanizer
from millrace.learning import Learning
from millrace.providers import Ask, Completion, Provider
from millrace.providers import provider as real
from millrace.tenants import Tenant
from millrace.usage import Spending, Usage

from tests.fakes import World

ACME = Tenant("acme", Tier.ENTERPRISE)
TEXT = "Moreover, it is important to note that we utilize 3 servers in Berlin."
FAITHFUL = "We use 3 servers in Berlin."
PAID = Entry("writer", "openai", rank=4, input_usd=1000.0, output_usd=1000.0, pinned_price=True)


def _humanizer(says: Callable[[], Completion]) -> Humanizer:
    world = World()
    catalogue = Catalogue(world.table)
    catalogue.publish(ACME, PAID)
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
