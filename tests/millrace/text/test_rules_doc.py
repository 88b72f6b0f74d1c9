"""The generated documents say what the rules do today."""

from __future__ import annotations

from pathlib import Path

from millrace.text import rules_doc
from millrace.text.ruledata import rules

from tests.millrace.text.samples import EXAMPLES

DOCS = Path(__file__).parents[3] / "docs"


def test_the_documents_are_what_the_generator_writes() -> None:
    assert (DOCS / "writing-rules.md").read_text(encoding="utf-8") == rules_doc.writing_rules()
    assert (DOCS / "examples.md").read_text(encoding="utf-8") == rules_doc.examples(EXAMPLES)


def test_every_rule_is_in_the_document() -> None:
    text = rules_doc.writing_rules()

    assert [rule.id for rule in rules() if f"| `{rule.id}` |" not in text] == []


def test_ten_texts_are_shown_at_every_strength() -> None:
    text = rules_doc.examples(EXAMPLES)

    assert len(list(EXAMPLES.glob("*.txt"))) == 10
    assert all(text.count(f"### {name}") == 10 for name in ("Before", "Light", "Medium", "Strong"))
