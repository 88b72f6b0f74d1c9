from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from millrace import providers
from millrace.advisers import WISHED, Advisers
from millrace.breakers import Breakers
from millrace.calls import Calls
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import NotFound
from millrace.providers import Completion, Talk
from millrace.talking import Talking
from millrace.tenants import Tenant

from tests.fakes import World

ACME = Tenant("acme", Tier.ENTERPRISE)
LLAMA = Entry(WISHED, "groq", input_usd=0.6, output_usd=0.8, successor="gpt-oss-120b")
NEXT = Entry("gpt-oss-120b", "groq", input_usd=0.15, output_usd=0.6)
DEAR = Entry("claude", "anthropic", input_usd=2.0, output_usd=10.0)
CHEAP = Entry("luna", "openai", input_usd=0.1, output_usd=0.5)


def advisers(*entries: Entry, gone: tuple[str, ...] = ()) -> Advisers:
    table = World().table
    for entry in entries:
        Catalogue(table).publish(ACME, entry)
    obstacle: Callable[[Entry], str | None] = lambda entry: "no key" if entry.id in gone else None  # noqa: E731
    return Advisers(Talking(Catalogue(table), 5.0, Calls(Breakers(table)), obstacle))


@pytest.mark.parametrize(
    ("gone", "chosen"),
    [
        ((), WISHED),
        ((WISHED,), "gpt-oss-120b"),
        ((WISHED, "gpt-oss-120b"), "luna"),
        ((WISHED, "gpt-oss-120b", "luna"), "claude"),
        ((WISHED, "gpt-oss-120b", "luna", "claude"), None),
    ],
)
def test_the_wished_model_its_successors_and_then_the_cheapest_are_asked(
    gone: tuple[str, ...], chosen: str | None
) -> None:
    assert advisers(LLAMA, NEXT, DEAR, CHEAP, gone=gone).chosen(ACME) == chosen


def test_a_tier_without_language_models_has_nobody_to_ask() -> None:
    rows = [replace(entry, tiers=(Tier.PROFESSIONAL,)) for entry in (LLAMA, CHEAP)]

    assert advisers(*rows).asker(Tenant("acme", Tier.FREE), "auto") is None


def test_what_is_asked_is_what_was_written_and_the_reply_is_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Talk]] = []

    def chat(entry: Entry, talk: Talk, timeout_s: float, *_: Any) -> Completion:
        asked.append((entry.id, talk))
        return Completion("[]", 10, 2)

    monkeypatch.setattr(providers, "chat", chat)
    ask = advisers(LLAMA, CHEAP).asker(ACME, "luna")

    assert ask and ask([{"role": "system", "content": "Propose."}, {"role": "user", "content": "{}"}]) == "[]"
    assert asked[0][0] == "luna" and asked[0][1].system == "Propose."


def test_a_model_that_is_not_there_is_an_error_of_the_question() -> None:
    ask = advisers(LLAMA).asker(ACME, "nobody")

    with pytest.raises(NotFound):
        assert ask and ask([{"role": "user", "content": "{}"}])
