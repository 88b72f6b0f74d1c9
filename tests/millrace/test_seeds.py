from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from millrace import seeds
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.errors import Corrupt
from millrace.lifecycle import countdowns, standing
from millrace.prices import charge
from millrace.providers import PROVIDERS, Completion
from millrace.table import Table
from millrace.tenants import Kind, Tenant, system_pk

from tests.fakes import FakeDynamo

CHECKED = date(2026, 11, 20)
ASKED_FOR = ("gpt-4o", "claude-3-5-sonnet", "gemini-2.0-flash", "llama-3.3-70b-versatile")


@pytest.fixture
def table() -> Table:
    return Table(FakeDynamo(), "t")  # type: ignore[arg-type]


def test_the_models_first_asked_for_are_rows_with_an_end_and_a_standing_successor() -> None:
    rows = {entry.id: entry for entry in seeds.entries()}

    for id in ASKED_FOR:
        assert rows[id].shutdown and not rows[id].default
        assert standing(rows[rows[id].successor or ""], CHECKED)


def test_every_provider_has_defaults_and_the_rules_are_for_everyone_but_llms_begin_at_basic() -> None:
    defaults = [entry for entry in seeds.entries() if entry.default]

    assert {entry.provider for entry in defaults} == {"openai", "anthropic", "google", "groq"}
    for entry in seeds.entries():
        assert Tier.FREE not in entry.tiers, entry.id
    for tier in (Tier.BASIC, Tier.PROFESSIONAL, Tier.ENTERPRISE):
        assert {e.provider for e in defaults if tier in e.tiers} == {"openai", "anthropic", "google", "groq"}


def test_every_price_is_the_price_lists_own_on_the_day_it_was_checked() -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for entry in seeds.entries():
        told = charge(entry, Completion("x", 10_000, 1_000), noon)

        assert told.basis.startswith("genai-prices "), entry.id
        assert told.cost_usd == pytest.approx(entry.cost_usd(10_000, 1_000)), entry.id


def test_every_row_bears_its_source_and_the_day() -> None:
    for entry in seeds.entries():
        assert "https://" in entry.source and entry.source.endswith("(2026-11-20)"), entry.id


def test_seeding_twice_changes_nothing_and_rows_come_back_as_they_went_in(table: Table) -> None:
    first, second = seeds.seed(table), seeds.seed(table)

    assert len(first.added) == len(seeds.entries()) and not first.changed
    assert second == seeds.Seeded((), (), (), len(seeds.entries()))
    found = {e.id: e for e in Catalogue(table).entries(Tenant("demo")) if e.id != "rules"}
    assert found == {e.id: e for e in seeds.entries()}


def test_seeding_mends_its_own_rows_removes_what_left_and_leaves_an_operators(table: Table) -> None:
    seeds.seed(table)
    pk = system_pk(Kind.CATALOGUE)
    row = table.get(pk, "gpt-4o")
    assert row is not None
    table.put(row | {"input_usd": 99})
    table.put(row | {"sk": "gone", "id": "gone"})
    table.put({"pk": pk, "sk": "house-model", "id": "house-model", "provider": "custom"})

    seeded = seeds.seed(table)

    assert (seeded.added, seeded.changed, seeded.removed) == ((), ("gpt-4o",), ("gone",))
    assert table.get(pk, "house-model") is not None


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "checked = 2026-11-20\n[models.a]\nprovider = 'nobody'",
        "checked = 2026-11-20\nextra = 1\n[models]",
        "not toml at all [",
    ],
)
def test_a_file_that_is_not_one_says_so(broken: str) -> None:
    with pytest.raises(Corrupt):
        seeds.parse(broken)


def test_a_successor_must_stand() -> None:
    row = """
provider = "openai"
label = "x"
tiers = ["BASIC"]
input_usd = 1
output_usd = 1
context = 10
max_output = 10
rank = 1
source = "https://example.com"
"""
    gone = row + 'shutdown = 2026-01-01\nsuccessor = "b"\n'

    with pytest.raises(Corrupt, match="no standing model"):
        seeds.parse(f"checked = 2026-11-20\n[models.a]{gone}[models.b]{gone}")
    assert len(seeds.parse(f"checked = 2026-11-20\n[models.a]{gone}[models.b]{row}")) == 2


def test_every_capability_of_the_file_is_one_that_a_provider_reads() -> None:
    for entry in seeds.entries():
        seeds.Capabilities.model_validate(dict(entry.capabilities))
        assert PROVIDERS[entry.provider].key


def test_the_countdown_names_what_is_gone_and_what_goes_nearest_first() -> None:
    found = countdowns(seeds.entries(), CHECKED)

    gone = ["claude-3-5-sonnet", "gemini-2.0-flash", "llama-3.3-70b-versatile"]
    assert [c.id for c in found] == [*gone, "claude-sonnet-4-5", "gpt-4o"]
    assert [c.level for c in found] == ["gone", "gone", "gone", "urgent", "notice"]
    assert found[-1].days == 55 and "gpt-6-luna" in found[-1].text


def test_an_upgrade_reads_rows_of_yesterday() -> None:
    old = {"pk": "p", "sk": "m", "id": "m", "provider": "own", "tiers": ["FREE"], "endpoint": "e", "unheard_of": 1}

    assert Entry.from_item(old) == replace(Entry("m", "own"), tiers=(Tier.FREE,), endpoint="e")
