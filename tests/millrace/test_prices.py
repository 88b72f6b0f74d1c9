from __future__ import annotations

from datetime import UTC, datetime

import pytest
from millrace.catalogue import Entry
from millrace.prices import charge
from millrace.providers import Completion

NOW = datetime(2026, 11, 20, tzinfo=UTC)
FLASH = Entry("gemini-3.8-flash", "google", input_usd=0.75, output_usd=3.75)


def test_a_price_that_changes_by_date_is_charged_by_date() -> None:
    said = Completion("x", 1_000_000, 0)

    assert charge(FLASH, said, NOW).cost_usd == pytest.approx(0.75)
    assert charge(FLASH, said, datetime(2027, 1, 1, 12, tzinfo=UTC)).cost_usd == pytest.approx(1.50)


def test_cached_tokens_and_long_contexts_have_their_own_price() -> None:
    haiku = Entry("claude-haiku-5-5", "anthropic", input_usd=0.1, output_usd=0.5)

    assert charge(haiku, Completion("x", 50_000, 0, 50_000), NOW).cost_usd == pytest.approx(50_000 * 0.01 / 1e6)
    assert charge(haiku, Completion("x", 200_000, 0), NOW).cost_usd == pytest.approx(200_000 * 0.5 / 1e6)


def test_a_pinned_price_and_an_unlisted_model_are_charged_by_the_row() -> None:
    pinned = Entry("gemini-3.8-flash", "google", input_usd=9, output_usd=9, pinned_price=True)
    unknown = Entry("house", "custom", input_usd=2, output_usd=4)
    unlisted = Entry("gpt-99-nova", "openai", input_usd=2, output_usd=4)

    for entry, usd in ((pinned, 18e-6), (unknown, 6e-6), (unlisted, 6e-6)):
        told = charge(entry, Completion("x", 1, 1), NOW)
        assert (told.basis, told.cost_usd) == ("catalogue", pytest.approx(usd))


def test_a_charge_says_what_it_was_computed_from() -> None:
    told = charge(FLASH, Completion("x", 1, 1, flags=("usage-estimated",)), NOW)

    assert told.basis.startswith("genai-prices ") and told.estimated
