"""The order that the learning router gives to the open routes."""

from __future__ import annotations

from millrace.bandit import Observation, State, update
from millrace.catalogue import RULES, Entry
from millrace.contract import Tier
from millrace.ranking import Ranking
from millrace.routing import choose

TEXT = "Our team moved the meeting to Friday because the room was taken on Thursday."
ROWS = [
    Entry("best", "openai", rank=5, input_usd=2, output_usd=10),
    Entry("small", "openai", rank=3, input_usd=0.1, output_usd=0.5),
    RULES,
]


def _first(state: State, tier: Tier = Tier.PROFESSIONAL) -> str:
    order = Ranking.of(TEXT, tier).order(state, None, draw=0.5)
    return choose(ROWS, tier, TEXT, order=order).routes[0].id


def test_what_was_seen_of_a_model_moves_it() -> None:
    """H15: a model whose rewrites fail again and again falls behind."""
    ranking = Ranking.of(TEXT, Tier.PROFESSIONAL)
    fresh = State()
    first = _first(fresh)
    state = fresh
    for second in range(200):
        seen = Observation(first, 0.8, ranking.features, 0.0, float(second), 0.0001, 0.0001, None)
        state = update(state, seen)

    assert _first(state) != first


def test_an_own_model_goes_before_others_once_it_has_earned_it_and_the_rules_stay_last() -> None:
    """H6, H15."""
    order = Ranking.of(TEXT, Tier.PROFESSIONAL).order(State(), None, draw=0.0)

    def routes(kept: float) -> list[str]:
        mine = Entry("mine@1", "own", metrics={"content_kept_rate": kept})
        return [entry.id for entry in choose([mine, *ROWS], Tier.PROFESSIONAL, TEXT, order=order).routes]

    assert routes(0.99)[0] == "mine@1" and routes(0.99)[-1] == "rules"
    assert routes(0.2)[-2:] == ["mine@1", "rules"]


def test_every_route_says_why_it_stands_where_it_does() -> None:
    order = Ranking.of(TEXT, Tier.ENTERPRISE).order(State(), None, draw=0.5)

    choice = choose(ROWS, Tier.ENTERPRISE, TEXT, order=order)

    ranked = [reason for reason in choice.reasons if reason.code == "ranked"]
    assert choice.routes[-1] == RULES and len(ranked) == len(choice.routes) - 1
    assert all(reason.text for reason in ranked)
