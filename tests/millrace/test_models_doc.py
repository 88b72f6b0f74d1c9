"""The guide to the models says what the catalogue and the router do today."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from millrace import measured, models_doc
from millrace.books import Books
from millrace.catalogue import Catalogue
from millrace.contract import Tier
from millrace.golden import golden
from millrace.learning import Learning
from millrace.lifecycle import standing
from millrace.measured import known, of_rules
from millrace.routing import choose
from millrace.seeds import entries, seed
from millrace.tenants import Tenant
from millrace.usage import Spending, Usage

from tests.fakes import World

GUIDE = Path(__file__).parents[2] / "docs" / "models.md"


def _cells(text: str) -> dict[str, list[str]]:
    """Rows of the first table, by id."""
    table = text.split("## Which there are")[1].split("##")[0]
    return {row[0].strip("`"): row for line in table.splitlines() if line.startswith("| `") for row in [_split(line)]}


def _split(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_guide_is_what_the_generator_writes() -> None:
    assert GUIDE.read_text(encoding="utf-8") == models_doc.models()


def test_every_model_that_stands_is_shown_with_its_figures_and_the_gone_are_not() -> None:
    rows = _cells(models_doc.models())

    here = [entry for entry in entries() if standing(entry, models_doc.checked())]
    assert set(rows) == {"rules", *(entry.id for entry in here)} and len(here) < len(entries())
    for entry in here:
        _, label, provider, price_in, price_out, thousand, context, rank, ends = rows[entry.id]
        assert (label, provider, int(rank), ends) == (entry.label, entry.provider, entry.rank, entry.shutdown or "")
        assert (float(price_in), float(price_out)) == (entry.input_usd, entry.output_usd)
        assert abs(float(thousand) - (entry.input_usd + entry.output_usd)) < 1e-3
        assert int(context.replace(",", "")) == entry.context


def test_every_end_is_told_with_its_successor() -> None:
    ends = models_doc.models().split("## Which end")[1]

    for entry in entries():
        told = re.search(rf"^\| `{re.escape(entry.id)}` \|.*$", ends, re.MULTILINE)
        assert bool(told) == bool(entry.shutdown)
        if told:
            assert str(entry.shutdown) in told[0] and f"`{entry.successor}`" in told[0]


def test_the_order_that_is_shown_is_the_routers() -> None:
    """Of the whole humanizer's, with fresh books and no exploration."""
    text = models_doc.models()
    world = World()
    seed(world.table)
    books = Books(Usage(world.table), Learning(world.table), 25.0, draw=lambda: 0.0)
    for tier in (Tier.BASIC, Tier.PROFESSIONAL, Tier.ENTERPRISE):
        tenant = Tenant("acme", tier)
        books.usage.set_policy(tenant, Spending(None))
        for name, sample in models_doc.TEXTS.items():
            told = re.search(rf"^\| {tier} \| {name} .*$", text, re.MULTILINE)
            order = books.open(tenant).order(sample)
            routes = choose(
                Catalogue(world.table).entries(tenant),
                tier,
                sample,
                obstacle=lambda entry: None if standing(entry, models_doc.checked()) else "ended",
                order=order,
            ).routes
            assert told and re.findall(r"`([^`]+)`", told[0]) == [
                entry.id for entry in routes[: models_doc.SHOWN_ROUTES]
            ]


def test_what_nobody_measured_is_said_to_be_so_and_what_was_is_shown() -> None:
    table = models_doc.models().split("## Measured")[1].split("##")[0]
    rows = known()

    assert "rules" in rows
    for id in ("rules", *(entry.id for entry in entries() if standing(entry, models_doc.checked()))):
        (line,) = re.findall(rf"^\| `{re.escape(id)}` \|.*$", table, re.MULTILINE)
        assert ("not measured here" in line) == (id not in rows)
    assert of_rules("2026-11-20").faithful == rows["rules"].faithful == rows["rules"].texts


def test_a_replay_of_a_stack_becomes_rows_and_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = {"texts": 8, "faithful": 7, "failed": 0, "ai_likeness": 0.2, "readability": 60.0, "latency_ms": 812.5}
    side |= {"cost_usd": 0.004, "problems": {}}
    told = {"golden": golden().version, "at": "2026-11-20T10:00:00Z", "after": side | {"model_id": "gpt-6-luna"}}
    told["before"] = side | {"model_id": "gpt-4o", "failed": 5}
    monkeypatch.setattr(measured, "FILE", tmp_path / "measured.toml")

    measured.main(json.dumps(told), "2026-11-20")

    assert set(known()) == {"gpt-6-luna"}
    assert (known()["gpt-6-luna"].faithful, known()["gpt-6-luna"].latency_ms) == (7, 812.5)
