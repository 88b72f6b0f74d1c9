"""strategy.json, made from the settings: `python -m training_containers.cnn_search.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .settings import Common, FinishSettings, NativeSettings, SearchSettings, TransferSettings, TrialsSettings

# Seconds for an image and an epoch of one training at 32 x 32, on a processor that is half a core. On a core of a Xeon
# with AMX (torch 2.13, 512 images) twelve networks that evolution drew took 0.5 to 3.9 ms, 1.5 in the mean, the ResNet
# 5.6 ms; at 64 x 64 3.4 times as long in the mean.
_DRAWN_S, _RESNET_S = 0.003, 0.011

_PROCESSOR = {"instance_type": "ml.c7i.2xlarge", "gpus": 0, "memory_gb": 16, "volume_gb": 60}
_GRAPHICS = {"instance_type": "ml.g5.xlarge", "gpus": 1, "memory_gb": 16, "volume_gb": 100}


def described() -> dict[str, Any]:
    """The container's strategies with what each may be told."""
    return {
        "container": "cnn_search",
        "strategies": {
            "cnn-search": _entry(
                "search:search",
                SearchSettings,
                ["train"],
                title="Search for an image classifier",
                description="Proposes networks, trains them in rungs, keeps the best and exports it.",
                aliases=["llm"],
            ),
            "cnn-native": _entry(
                "native:train",
                NativeSettings,
                ["train"],
                title="Train an image classifier of your own, or a ResNet",
                description="Trains one architecture, given as JSON in the search's schema, or a ResNet.",
                aliases=["native"],
                row_s=_RESNET_S,
            ),
            "cnn-transfer": _entry(
                "transfer:train",
                TransferSettings,
                ["train", "base"],
                title="Train an image classifier from a backbone",
                description="A backbone from the channel `base`, first frozen, then trained along.",
                aliases=["transfer"],
                resources=_GRAPHICS,
                row_s=_RESNET_S,
            ),
            "cnn-trials": _entry(
                "search:trials",
                TrialsSettings,
                ["train"],
                optional=["proposals", "trials"],
                kind="step",
                title="One round of a search",
                description="Trains proposed networks in rungs and tells how far each came.",
                produces="trials",
            ),
            "cnn-finish": _entry(
                "search:finish",
                FinishSettings,
                ["train", "trials"],
                kind="step",
                title="The end of a search",
                description="Finalists with several seeds, baselines, the test split once, the export.",
            ),
        },
    }


def _entry(
    entry: str,
    settings: type[Common],
    required: list[str],
    *,
    title: str,
    description: str,
    optional: list[str] | None = None,
    kind: str = "strategy",
    produces: str = "cnn",
    aliases: list[str] | None = None,
    resources: dict[str, Any] | None = None,
    row_s: float = _DRAWN_S,
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "entry": f"training_containers.cnn_search.{entry}",
        "kind": kind,
        "title": title,
        "description": description,
        "data": "images",
        "framework": "pytorch",
        "channels": {"required": required, "optional": optional or []},
        "produces": produces,
        "hyperparameters": _schema(settings),
        "resources": (resources or _PROCESSOR) | {"max_runtime_s": 14_400, "forecast": {"row_s": row_s}},
    }
    return told | ({"aliases": aliases} if aliases else {})


def _schema(settings: type[Common]) -> dict[str, Any]:
    made = settings.model_json_schema()
    properties = {name: _plain(p) for name, p in made["properties"].items()}
    return {"type": "object", "properties": properties}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """What may be text or an object is shown as text: JSON in it."""
    kept = {k: v for k, v in schema.items() if k not in ("title", "anyOf")}
    return kept | ({"type": "string"} if "anyOf" in schema else {})


def main() -> None:
    Path(__file__).with_name("strategy.json").write_text(json.dumps(described(), indent=1) + "\n")


if __name__ == "__main__":
    main()
