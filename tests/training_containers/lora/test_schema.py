"""strategy.json and the settings say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from millrace.errors import InvalidInput
from millrace.strategies import MIN_TRAIN_PAIRS, strategies

from training_containers.lora import schema
from training_containers.lora.settings import EvaluateSettings, SftSettings


def test_strategy_json_is_what_the_settings_describe() -> None:
    told = json.loads(Path(schema.__file__).with_name("strategy.json").read_text())

    assert told == schema.described()


def test_what_the_job_settles_is_what_the_container_takes() -> None:
    settled = strategies()["lora-sft"].settle({"rank": 8})

    assert SftSettings.of(settled) == SftSettings(rank=8)
    assert EvaluateSettings.of(strategies()["lora-evaluate"].settle({})) == EvaluateSettings()


def test_the_minimum_of_rows_is_the_one_that_the_corpus_waits_for() -> None:
    assert SftSettings().minimum_rows == MIN_TRAIN_PAIRS


def test_a_value_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(InvalidInput, match="epochs: "):
        SftSettings.of({"epochs": "many"})
