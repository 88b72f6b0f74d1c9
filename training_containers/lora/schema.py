"""strategy.json, made from the settings: `python -m training_containers.lora.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .settings import EvaluateSettings, SftSettings, _Settings

_RESOURCES = {"gpus": 1, "memory_gb": 16, "volume_gb": 60}


def described() -> dict[str, Any]:
    """The container's strategies with what each may be told."""
    return {
        "container": "lora",
        "strategies": {
            "lora-sft": {
                "entry": "training_containers.lora.sft:train",
                "kind": "strategy",
                "title": "LoRA fine-tuning on pairs",
                "description": "Teaches a language model to write the target where it is given the source.",
                "channels": {"required": ["train", "base"], "optional": ["validation", "test"]},
                "produces": "adapter",
                "hyperparameters": _schema(SftSettings),
                "resources": {"instance_type": "ml.g5.xlarge", **_RESOURCES, "max_runtime_s": 14400},
            },
            "lora-evaluate": {
                "entry": "training_containers.lora.evaluate:evaluate",
                "kind": "step",
                "title": "Evaluate an adapter against its base",
                "description": "Base and candidate on the held-out pairs: content kept, edit made, loss.",
                "channels": {"required": ["base", "model", "test"], "optional": []},
                "produces": "evaluation",
                "hyperparameters": _schema(EvaluateSettings),
                "resources": {"instance_type": "ml.g5.xlarge", **_RESOURCES, "max_runtime_s": 7200},
            },
        },
    }


def _schema(settings: type[_Settings]) -> dict[str, Any]:
    made = settings.model_json_schema()
    properties = {name: {k: v for k, v in p.items() if k != "title"} for name, p in made["properties"].items()}
    return {"type": "object", "properties": properties}


def main() -> None:
    Path(__file__).with_name("strategy.json").write_text(json.dumps(described(), indent=1) + "\n")


if __name__ == "__main__":
    main()
