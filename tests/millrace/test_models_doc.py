"""The guide to the models says what the catalogue and the router do today."""

from __future__ import annotations

import re
from pathlib import Path

from millrace import models_doc
from millrace.contract import Tier
from millrace.lifecycle import standing
from millrace.routing import choose
from millrace.seeds import entries

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
    text = models_doc.models()

    def ended(entry: object) -> str | None:
        return None if standing(entry, models_doc.checked()) else "ended"  # type: ignore[arg-type]

    for tier in (Tier.BASIC, Tier.PROFESSIONAL, Tier.ENTERPRISE):
        for name, difficulty in models_doc.TEXTS.items():
            routes = choose(entries(), tier, "A text.", obstacle=ended, difficulty=difficulty).routes
            told = re.search(rf"^\| {tier} \| {name} .*$", text, re.MULTILINE)
            assert told and re.findall(r"`([^`]+)`", told[0]) == [
                entry.id for entry in routes[: models_doc.SHOWN_ROUTES]
            ]
