"""strategy.json, made from the settings: `python -m training_containers.lora.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training_containers.common.settings import Told

from .settings import DpoSettings, EvaluateSettings, KtoSettings, SftSettings

_RESOURCES = {"gpus": 1, "memory_gb": 16, "volume_gb": 60}


def described() -> dict[str, Any]:
    """The container's strategies with what each may be told."""
    return {
        "container": "lora",
        "strategies": {
            "lora-sft": _strategy(
                SftSettings,
                "sft:train",
                "LoRA fine-tuning on pairs",
                "Teaches a language model to write the target where it is given the source.",
            ),
            "lora-dpo": _strategy(
                DpoSettings,
                "preference:dpo",
                "LoRA on preferences (DPO)",
                "Teaches a language model which of two answers is wanted: prompt, chosen, rejected. "
                "Of a plain pair the source is what the target was chosen over.",
            ),
            "lora-kto": _strategy(
                KtoSettings,
                "preference:kto",
                "LoRA on verdicts (KTO)",
                "Teaches a language model from answers with a thumb up or down: prompt, completion, label. "
                "A preference and a plain pair give one of each.",
            ),
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


def _strategy(settings: type[Told], entry: str, title: str, description: str) -> dict[str, Any]:
    return {
        "entry": f"training_containers.lora.{entry}",
        "kind": "strategy",
        "title": title,
        "description": description,
        "framework": "pytorch",
        "channels": {"required": ["train", "base"], "optional": ["validation", "test"]},
        "produces": "adapter",
        "hyperparameters": _schema(settings),
        "resources": {"instance_type": "ml.g5.xlarge", **_RESOURCES, "max_runtime_s": 14400},
    }


def _schema(settings: type[Told]) -> dict[str, Any]:
    return {"type": "object", "properties": settings.schema_properties()}


def main() -> None:
    Path(__file__).with_name("strategy.json").write_text(json.dumps(described(), indent=1) + "\n")


if __name__ == "__main__":
    main()
