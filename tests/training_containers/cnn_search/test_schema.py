"""strategy.json and the settings say the same."""

from __future__ import annotations

import json
from pathlib import Path

from training_containers.cnn_search import schema


def test_strategy_json_is_what_the_settings_describe() -> None:
    told = json.loads(Path(schema.__file__).with_name("strategy.json").read_text())

    assert told == schema.described()
    for name, entry in told["strategies"].items():
        assert entry["framework"] == "pytorch" and entry["resources"]["forecast"]["row_s"] > 0, name
