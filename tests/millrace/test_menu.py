from __future__ import annotations

from datetime import date

import pytest
from millrace import seeds
from millrace.catalogue import RULES, Entry
from millrace.contract import Tier
from millrace.errors import Unavailable
from millrace.menu import Obstacle, Offer, menu

TODAY = date(2026, 11, 20)
OWN = Entry("clear@1", "own", endpoint="e-clear")


def _free(entry: Entry) -> str | None:
    return None


def _menu(
    tier: Tier = Tier.ENTERPRISE, today: date = TODAY, obstacle: Obstacle = _free, left_alone: Obstacle = _free
) -> dict[str, Offer]:
    offers = menu([OWN, *seeds.entries(), RULES], tier, today, obstacle, left_alone)
    assert len({offer.entry.id for offer in offers}) == len(offers) == len(seeds.entries()) + 3
    return {offer.entry.id: offer for offer in offers}


@pytest.mark.parametrize("tier", list(Tier))
def test_auto_and_rules_come_first_and_always_can_be_asked_for(tier: Tier) -> None:
    offers = _menu(tier, obstacle=lambda entry: "no key", left_alone=lambda entry: "sick")

    assert list(offers)[:2] == ["auto", "rules"]
    assert [id for id, offer in offers.items() if offer.reason is None] == ["auto", "rules"]


def test_what_can_answer_comes_before_what_cannot_and_the_best_of_it_first() -> None:
    offers = list(_menu(obstacle=lambda entry: "no key" if entry.provider == "openai" else None).values())[2:]

    can = [offer.reason is None for offer in offers]
    assert can == sorted(can, reverse=True) and {True, False} == set(can)
    ranks = [offer.entry.rank for offer in offers if offer.reason is None]
    assert ranks == sorted(ranks, reverse=True)


def test_each_reason_is_told_in_words() -> None:
    basic = _menu(Tier.BASIC, obstacle=lambda entry: f"no key for {entry.provider}")
    sick = _menu(left_alone=lambda entry: "left alone for a while" if entry.id == "gpt-6-luna" else None)

    told = {id: (r.code, r.text) for id, offer in basic.items() if (r := offer.reason)}
    assert told["gpt-6.1-sol"] == ("tier", "gpt-6.1-sol is for PROFESSIONAL or ENTERPRISE; your tier is BASIC.")
    assert told["clear@1"] == ("tier", "clear@1 is for PROFESSIONAL or ENTERPRISE; your tier is BASIC.")
    assert told["gpt-6-luna"] == ("provider", "no key for openai")
    assert {id for id, offer in sick.items() if offer.reason and offer.reason.code == "left-alone"} == {"gpt-6-luna"}
    gone = sick["llama-3.3-70b-versatile"].reason
    then = "llama-3.3-70b-versatile was shut down on 2026-08-16; its successor is gpt-oss-120b."
    assert gone and (gone.code, gone.text) == ("shutdown", then)


def test_a_shutdown_is_counted_down_to_with_the_successor() -> None:
    offers = _menu(today=date(2027, 1, 4))

    end = offers["gpt-4o"].countdown
    assert end and (end.days, end.level, end.successor) == (10, "urgent", "gpt-6-luna")
    assert offers["gpt-4o"].reason is None and offers["gpt-6-luna"].countdown is None
    past = offers["llama-3.3-70b-versatile"].countdown
    assert past and past.level == "gone"


def test_a_provider_that_cannot_even_be_asked_is_a_reason_and_no_error() -> None:
    def broken(entry: Entry) -> str | None:
        raise Unavailable("Secrets Manager is away.")

    reason = _menu(obstacle=broken)["gpt-6-luna"].reason

    assert reason and (reason.code, reason.text) == ("provider", "Secrets Manager is away.")
