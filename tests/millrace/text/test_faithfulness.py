"""Faithfulness: planted changes are found, faithful edits pass."""

from __future__ import annotations

from millrace.text.faithfulness import verify

SOURCE = (
    "On March 5, 2024, Alice Smith paid $1,000 to Acme Corp. She did not sign the 3 km lease. "
    "See [1] and https://x.org/a?b=1."
)


def test_other_forms_of_the_same_facts_pass() -> None:
    edit = (
        "On 5 March 2024 Alice Smith paid 1000 dollars to Acme Corp. She didn't sign the 3-km lease. "
        "See [1] and https://x.org/a?b=1."
    )

    assert verify(SOURCE, edit) == []


def test_an_empty_rewrite_is_one_violation() -> None:
    assert [v.kind for v in verify(SOURCE, "  ")] == ["empty"]
