from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.errors import InvalidInput
from millrace.strategies import LARGEST, Strategy, find, strategies
from millrace.typed import decode, encode

SCHEMA: dict[str, dict[str, Any]] = {
    "rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.1},
    "rank": {"type": "integer", "minimum": 1, "maximum": 64, "default": 8},
    "seed": {"type": "integer", "default": 0},
    "name": {"type": "string", "maxLength": 5, "default": ""},
    "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
    "long": {"type": "string", "maxLength": 4_000, "default": ""},
    "on": {"type": "boolean", "default": True},
    "limit": {"type": ["integer", "null"], "minimum": 1, "default": None},
    "layers": {"type": "array", "items": {"type": "string", "maxLength": 5}, "default": ["q"]},
}
PLAIN = Strategy("plain", "box", "strategy", "Plain", SCHEMA, {})
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rate", value) for value in (0, -1, 1.1, math.nan, math.inf, "0.1", True, None, [])),
        *(("rank", value) for value in (0, 65, 8.0, 10**400, True)),
        *(("seed", value) for value in (LARGEST + 1, -(10**40))),
        *(("name", value) for value in ("sixsix", "\ud800", 5)),
        *(("kind", value) for value in ("c", "")),
        *(("on", value) for value in (1, "true")),
        *(("limit", value) for value in (0, 1.5)),
        *(("layers", value) for value in ("q", ["sixsix"], [1], [["q"]], ["\ud800"], ["q"] * 101)),
        ("long", "x" * 2_499),
        ("unknown", 1),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=name):
        PLAIN.settle({name: value})


@given(st.dictionaries(st.sampled_from([*SCHEMA, "unknown"]), ANYTHING, max_size=3))
def test_what_is_settled_can_be_stored_and_sent(given: dict[str, Any]) -> None:
    try:
        settled = PLAIN.settle(given)
    except InvalidInput:
        return
    assert set(settled) == set(SCHEMA)
    text = json.dumps(settled, allow_nan=False)
    text.encode()
    assert decode(encode(settled)) == {name: value for name, value in settled.items() if value is not None}


def test_defaults_stand_under_what_is_given() -> None:
    assert PLAIN.settle({"rank": 4}) == {n: s["default"] for n, s in SCHEMA.items()} | {"rank": 4}


@pytest.mark.parametrize("name", ["nothing", "gguf", ""])
def test_only_a_strategy_can_be_asked_for_and_the_error_names_those_there_are(name: str) -> None:
    with pytest.raises(InvalidInput) as told:
        find(name)
    for strategy in strategies().values():
        assert (f" {strategy.name}" in str(told.value)) or strategy.kind != "strategy"


def test_every_strategys_defaults_are_within_its_own_bounds() -> None:
    assert strategies()
    for strategy in strategies().values():
        assert strategy.settle(strategy.settle({})) == strategy.settle({})
        assert {"instance_type", "volume_gb", "max_runtime_s"} <= set(strategy.resources)
