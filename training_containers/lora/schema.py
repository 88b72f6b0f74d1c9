"""strategy.json, made from the settings: `python -m training_containers.lora.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training_containers.common.settings import Told

from .settings import DpoSettings, EvaluateSettings, KtoSettings, SftSettings

# Seconds for a row and an epoch, reckoned and not measured: 4 FLOPs a weight and token (a frozen base has no gradient
# of its own), 3.8e9 weights and 200 tokens, at 30 of the 70 TFLOP/s of an A10G. A preference has two answers, and the
# reference reads both too.
_PAIR_S, _PREFERENCE_S = 0.1, 0.3
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
                _PAIR_S,
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


def _strategy(
    settings: type[Told], entry: str, title: str, description: str, row_s: float = _PREFERENCE_S
) -> dict[str, Any]:
    return {
        "entry": f"training_containers.lora.{entry}",
        "kind": "strategy",
        "title": title,
        "description": description,
        "framework": "pytorch",
        "channels": {"required": ["train", "base"], "optional": ["validation", "test"]},
        "produces": "adapter",
        "hyperparameters": _schema(settings),
        "resources": {
            "instance_type": "ml.g5.xlarge",
            **_RESOURCES,
            "max_runtime_s": 14400,
            "forecast": {"row_s": row_s},
        },
    }


def _schema(settings: type[Told]) -> dict[str, Any]:
    return {"type": "object", "properties": settings.schema_properties()}


def main() -> None:
    Path(__file__).with_name("strategy.json").write_text(json.dumps(described(), indent=1) + "\n")


if __name__ == "__main__":
    main()
