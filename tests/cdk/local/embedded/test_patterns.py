"""Filter patterns choose the lines that CloudWatch Logs would."""

from __future__ import annotations

import json

import pytest

from cdk.local.embedded.patterns import matches

LINE = json.dumps({"type": "progress", "step": 3, "loss": None, "deep": {"list": [{"name": "a[1]"}]}, "done": False})


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ('{ ($.type = "progress") || ($.type = "metrics") }', True),
        ('{ $.type = "metrics" }', False),
        ("{ $.type = prog* }", True),
        ('{ $.type != "metrics" }', True),
        ("{ $.step >= 3 && $.step < 4 }", True),
        ("{ $.step > 3 || $.missing = 1 }", False),
        ("{ ($.step = 1 || $.step = 3) && $.done = false }", True),
        ("{ $.step = 3.0 }", True),
        ("{ $.loss IS NULL }", True),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.loss NOT EXISTS }", False),
        ('{ $.deep.list[0].name = "a[1]" }', True),
    ],
)
def test_a_pattern_chooses_a_line_or_not(pattern: str, chosen: bool) -> None:
    assert matches(pattern, LINE) is chosen


@pytest.mark.parametrize("message", ["plain text with progress", "[1, 2]", '"progress"', ""])
def test_a_line_that_is_no_object_is_never_chosen(message: str) -> None:
    assert not matches('{ $.type = "progress" }', message)


def test_half_a_pattern_is_refused() -> None:
    with pytest.raises((ValueError, IndexError)):
        matches('{ $.type = "progress" $.step }', LINE)
