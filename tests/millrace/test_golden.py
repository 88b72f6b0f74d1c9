"""A successor on the golden set, asked through the official formats of a scripted provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from millrace import providers
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import InvalidInput, NotFound
from millrace.golden import Figures, Replays, golden, verdict
from millrace.humanize import Humanizer
from millrace.providers.reach import Reach
from millrace.tenants import Kind, Tenant
from millrace.text.faithfulness import verify
from millrace.text.rules import rewrite

from tests.fakes import World
from tests.millrace.providers.conftest import _server, reach, server  # noqa: F401 - fixtures
from tests.providers_server import Answer, ProviderServer, Script, source_in

ACME = Tenant("acme", Tier.ENTERPRISE)
OLD = Entry("old", "openai", input_usd=2.0, output_usd=8.0, shutdown="2027-01-14", successor="new")
NEW = Entry("new", "groq", input_usd=0.1, output_usd=0.5)


@pytest.fixture
def replays(server: ProviderServer, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> Replays:  # noqa: F811
    monkeypatch.setattr(providers, "_reach", lambda: reach)
    server.answer = lambda prompt: Answer(rewrite(source_in(prompt)).text)
    world = World()
    for entry in (OLD, NEW, Entry("alone", "openai")):
        Catalogue(world.table).publish(ACME, entry)
    return Replays(world.table, Humanizer(Catalogue(world.table), world.corpus, 20.0))


def test_both_models_rewrite_every_text_and_the_figures_stand_side_by_side(
    replays: Replays,
    server: ProviderServer,  # noqa: F811
) -> None:
    told = replays.replay(ACME, "old")

    before, after = told["before"], told["after"]
    assert (told["successor"], told["verdict"]) == ("new", "as good")
    assert before["faithful"] == after["faithful"] == before["texts"] == len(golden().asks)
    assert before["cost_usd"] > after["cost_usd"] > 0 and before["latency_ms"] > 0
    assert len(server.seen) == 2 * len(golden().asks)
    assert replays.last(ACME, "old") == told
    assert replays.table.page(ACME.pk(Kind.DATA_POINT), 10)[0] == [], "the golden set is nobody's training data"


def test_a_successor_that_breaks_facts_is_worse_and_says_which(replays: Replays, server: ProviderServer) -> None:  # noqa: F811
    def answer(prompt: str) -> Answer:
        return Answer(rewrite(source_in(prompt)).text.replace("2", "3"))

    server.answer = lambda prompt: answer(prompt) if "new" in asked else Answer(rewrite(source_in(prompt)).text)
    asked: list[str] = []
    server.choose = lambda path, body: (asked.append(body["model"]), Script.OK)[1]

    # One at a time, so that the server knows whom it plays.
    old = replays._measured(ACME, OLD)
    new = replays._measured(ACME, NEW)

    assert verdict(old, new)["verdict"] == "worse" and new.faithful < old.faithful
    assert any("did not keep: " in why and "number" in why for why in new.problems.values())


def test_a_model_that_cannot_be_asked_gives_no_verdict(replays: Replays, server: ProviderServer) -> None:  # noqa: F811
    server.choose = lambda path, body: Script.WRONG_KEY if body["model"] == "old" else Script.OK

    told = replays.replay(ACME, "old")

    assert told["verdict"] == "unknown" and "old did not answer 8 of 8" in told["text"]
    assert told["after"]["faithful"] == 8
    assert "its key is wrong" in next(iter(told["before"]["problems"].values()))


def test_without_a_successor_or_a_replay_there_is_nothing_to_show(replays: Replays) -> None:
    with pytest.raises(InvalidInput, match="no successor"):
        replays.replay(ACME, "alone")
    for ask in (replays.replay, replays.last):
        with pytest.raises(NotFound):
            ask(ACME, "nobody")


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, "as good"), ({"faithful": 7}, "as good"), ({"faithful": 6}, "worse"), ({"ai_likeness": 0.5}, "worse"),
     ({"ai_likeness": 0.1}, "better"), ({"failed": 5, "faithful": 3}, "unknown")],
)  # fmt: skip
def test_one_text_more_or_less_is_no_verdict(change: dict[str, Any], expected: str) -> None:
    before = Figures("old", 8, 8, 0, 0.3, 60.0, 900.0, 0.01)

    assert verdict(before, replace(before, model_id="new", **change))["verdict"] == expected


def test_the_rules_keep_every_golden_text_faithful_and_change_it() -> None:
    """Else the set would hold a text that cannot be rewritten."""
    for name, ask in golden().asks.items():
        made = rewrite(ask.text, tone=ask.tone)
        assert made.text != ask.text and verify(ask.text, made.text) == [], name
