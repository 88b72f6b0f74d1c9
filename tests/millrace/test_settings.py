from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from millrace import settings
from millrace.settings import MissingSettings, Settings

EVERY = [
    found
    for found in vars(settings).values()
    if isinstance(found, type) and issubclass(found, Settings) and found is not Settings
]
VALUES: dict[str, Any] = {"int": 7, "float": 1.5}


def _filled(kind: type[Settings]) -> Settings:
    values: dict[str, Any] = {}
    for field in fields(kind):
        text = str(field.type)
        values[field.name] = {"a": "b"} if text.startswith("Mapping") else VALUES.get(text, f"a {field.name}")
    return kind(**values)


@pytest.mark.parametrize("kind", EVERY)
def test_what_the_stack_writes_is_what_the_function_reads(kind: type[Settings]) -> None:
    told = _filled(kind)

    assert kind.from_env(told.to_env()) == told
    assert all(name.startswith("MILLRACE_") and isinstance(value, str) for name, value in told.to_env().items())
    assert hash(told) == hash(kind.from_env(told.to_env()))


@pytest.mark.parametrize("kind", EVERY)
def test_every_missing_name_is_told_in_one_message(kind: type[Settings]) -> None:
    needed = [name for name in _filled(kind).to_env() if _needed(kind, name)]
    if not needed:
        pytest.skip("it needs nothing")
    with pytest.raises(MissingSettings) as told:
        kind.from_env({})

    assert all(name in str(told.value) for name in needed)


def _needed(kind: type[Settings], name: str) -> bool:
    env = {key: value for key, value in _filled(kind).to_env().items() if key != name}
    try:
        kind.from_env(env)
    except MissingSettings:
        return True
    return False
