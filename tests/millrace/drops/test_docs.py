"""Every example of a text data set that the page shows is taken whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from millrace.drops.records import NAMES

from tests.millrace.drops.reading import refusals, rows

PAGE = (Path(__file__).parents[3] / "docs" / "dataset-requirements.md").read_text(encoding="utf-8")
TEXT = PAGE.partition("## Text: training pairs")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"```(csv|jsonl|json)\n(.*?)```", TEXT, re.DOTALL)


def test_there_is_an_example_of_each_text_format() -> None:
    assert {kind for kind, _ in EXAMPLES} == {"csv", "jsonl", "json"}


@pytest.mark.parametrize(("kind", "body"), EXAMPLES)
def test_an_example_is_taken(kind: str, body: str) -> None:
    assert rows(body.encode()) and not refusals(body.encode())


@pytest.mark.parametrize("name", [name for role in NAMES for name in NAMES[role]])
def test_every_usual_name_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in TEXT or name == "conversation"
