"""strategy.json, made from the settings: `python -m training_containers.templates.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .settings import Settings


def described() -> dict[str, Any]:
    """Kind `template`: it runs in the contract, and is not offered to anybody."""
    titles = {"pytorch": "PyTorch on a table of numbers", "keras": "Keras (TensorFlow) on a table of numbers"}
    return {
        "container": "templates",
        "strategies": {f"{name}-template": _of(name, title) for name, title in titles.items()},
    }


def _of(name: str, title: str) -> dict[str, Any]:
    return {
        "entry": f"training_containers.templates.{name}_train:train",
        "kind": "template",
        "title": title,
        "description": "A script to copy: reads its channels, tells its progress, writes weights and a manifest.",
        "channels": {"required": ["train"], "optional": ["validation"]},
        "produces": "weights",
        "hyperparameters": {"type": "object", "properties": Settings.schema_properties()},
        "resources": {
            "instance_type": "ml.m5.large",
            "gpus": 0,
            "memory_gb": 4,
            "volume_gb": 10,
            "max_runtime_s": 3600,
        },
    }


def main() -> None:
    Path(__file__).with_name("strategy.json").write_text(json.dumps(described(), indent=1) + "\n")


if __name__ == "__main__":
    main()
