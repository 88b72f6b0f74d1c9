from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.catalogue import RULES, Entry
from millrace.contract import Tier
from millrace.errors import Forbidden, NotFound, ProviderRefused
from millrace.fit import Fit
from millrace.routing import AUTO, choose

FITTING = vars(Fit.of([("we use servers in berlin", None)]))
ENTRIES = st.lists(
    st.builds(
        Entry,
        id=st.sampled_from(["a@1", "b@1", "c@2", "d"]),
        provider=st.sampled_from(["own", "openai"]),
        tiers=st.lists(st.sampled_from(Tier), unique=True).map(tuple),
        fit=st.sampled_from([{}, FITTING]),
    ),
    max_size=5,
    unique_by=lambda entry: entry.id,
).map(lambda entries: [*entries, RULES])


@given(ENTRIES, st.sampled_from(Tier), st.text(max_size=30), st.sampled_from([None, "", AUTO]))
def test_the_rules_are_always_last_and_every_row_is_tried_or_told_why_not(
    entries: list[Entry], tier: Tier, text: str, wish: str | None
) -> None:
    choice = choose(entries, tier, text, wish)

    assert choice.routes[-1] == RULES and choice.routes.count(RULES) == 1 and not choice.wished
    passed_over = [reason for reason in choice.reasons if reason.code in ("tier", "misfit")]
    assert len(choice.routes) - 1 + len(passed_over) == len(entries) - 1
    for entry in choice.routes[:-1]:
        assert tier in entry.tiers and (entry.provider != "own" or tier in (Tier.PROFESSIONAL, Tier.ENTERPRISE))
        assert not entry.fit or Fit.from_dict(entry.fit).misfit(text) is None


@given(ENTRIES, st.sampled_from(Tier), st.sampled_from(["a", "a@1", "b", "c@2", "c", "d", "rules", "zz"]))
def test_a_wish_is_granted_alone_or_refused_with_its_reason(entries: list[Entry], tier: Tier, wish: str) -> None:
    rows = [entry for entry in entries if wish in (entry.id, entry.name)]
    try:
        choice = choose(entries, tier, "any text", wish)
    except NotFound as error:
        assert not rows and "auto" in str(error) and RULES.id in str(error)
    except Forbidden as error:
        assert str(tier) in str(error) and rows
    else:
        assert choice.wished and choice.routes == (rows[0],)


def test_a_text_outside_of_the_training_is_not_sent_and_the_reason_says_by_how_much() -> None:
    entries = [Entry("own@1", "own", fit=FITTING), RULES]

    choice = choose(entries, Tier.ENTERPRISE, "completely different words here")

    assert choice.routes == (RULES,)
    assert [reason.code for reason in choice.reasons] == ["misfit", "floor"]
    assert "0% of the text's words" in choice.reasons[0].text


@pytest.mark.parametrize(
    ("tier", "count"), [(Tier.FREE, 1), (Tier.BASIC, 1), (Tier.PROFESSIONAL, 2), (Tier.ENTERPRISE, 2)]
)
def test_own_models_answer_from_professional_up(tier: Tier, count: int) -> None:
    entries: list[Any] = [Entry("own@1", "own"), RULES]
    assert len(choose(entries, tier, "text").routes) == count


def test_the_cheapest_model_that_is_good_enough_goes_first_and_own_models_after_others() -> None:
    """H4, H5, H6."""
    rows = [
        Entry("mine@1", "own"),
        Entry("best", "openai", rank=5, input_usd=2, output_usd=10),
        Entry("good", "openai", rank=4, input_usd=1, output_usd=5),
        Entry("small", "openai", rank=2, input_usd=0.1, output_usd=0.5),
    ]

    def order(tier: Tier, difficulty: float) -> list[str]:
        return [entry.id for entry in choose([*rows, RULES], tier, "A text.", difficulty=difficulty).routes]

    assert order(Tier.BASIC, 0.1) == ["small", "good", "best", "rules"]
    assert order(Tier.ENTERPRISE, 0.3) == ["good", "best", "small", "mine@1", "rules"]
    assert order(Tier.ENTERPRISE, 1.0) == ["best", "good", "small", "mine@1", "rules"]


def test_what_several_providers_lack_is_told_once() -> None:
    """H2."""
    rows = [Entry("a", "openai", rank=5), Entry("b", "groq", rank=5), RULES]

    chosen = choose(rows, Tier.BASIC, "A text.", obstacle=lambda entry: f"{entry.provider} has no key.")

    assert [reason.text for reason in chosen.reasons][:1] == [
        "groq, openai cannot be called; the menu of models says why"
    ]


def test_a_model_that_cannot_be_called_is_passed_over_and_refused_when_it_was_asked_for() -> None:
    """H2: with the reason."""
    rows = [Entry("best", "openai", rank=5), RULES]

    chosen = choose(rows, Tier.BASIC, "A text.", obstacle=lambda entry: "openai has no key.")

    assert chosen.routes == (RULES,)
    assert chosen.reasons[0].text == "openai has no key."
    with pytest.raises(ProviderRefused, match="no key"):
        choose(rows, Tier.BASIC, "A text.", "best", obstacle=lambda entry: "openai has no key.")
