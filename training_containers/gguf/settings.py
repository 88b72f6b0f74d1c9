"""What the job may be told and what comes in: hyperparameters, examples, the base's answers."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from millrace.errors import InvalidInput
from pydantic import Field

from training_containers.common import manifest
from training_containers.common.rows import Row, read
from training_containers.common.settings import Told

Quantization = Literal["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"]


class Settings(Told):
    """Hyperparameters with their bounds; strategy.json shows this model's schema."""

    ladder: list[Quantization] = Field(default=["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"], description="Quantisations to try")
    kl_max: float = Field(default=0.05, gt=0, le=10, description="Highest mean KL divergence, nats per token")
    top_token_agreement_min: float = Field(default=0.95, ge=0, le=1, description="Lowest share of equal top tokens")
    task_drop_max: float = Field(default=0.05, ge=0, le=1, description="Most that a task rate may fall below F16's")
    max_examples: int = Field(default=200, ge=1, le=5000, description="Test rows that are read")
    reference_examples: int = Field(default=16, ge=1, le=500, description="Rows on which F16 is held against torch")
    imatrix_examples: int = Field(
        default=128,
        ge=0,
        le=5000,
        description="Training rows that weigh the rounding; 0: none, as without a channel train",
    )
    max_new_tokens: int = Field(default=512, ge=1, le=4096, description="Longest answer, tokens")
    context: int = Field(default=512, ge=64, le=131072, description="Context served, tokens")
    instruction: str = Field(default="", max_length=4000, description="Stands before the source, as in training")
    seed: int = Field(default=0, ge=0, description="Of the bootstrap")
    threads: int = Field(default=0, ge=0, le=256, description="Threads to use; 0 is one a core")

    @property
    def cores(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))


def calibration(train: Path, most: int) -> list[Row]:
    """Rows for the importance matrix, none without the channel: never the ones that parity is measured on."""
    return [row for row in read(train, "train") if row.label][:most] if most and train.is_dir() else []


def base_outputs(evaluation: Path) -> dict[str, str] | None:
    """What the base wrote, by example, from the evaluation step; None where that step's result was not given."""
    if not evaluation.is_dir():
        return None
    manifest.read(evaluation)
    told = json.loads((evaluation / "evaluation.json").read_text())
    return {str(row["id"]): str(row["base_output"]) for row in told["examples"]}


def examples(test: Path, most: int, judged: Collection[str] | None) -> list[Row]:
    """The first `most` rows of the channel `test`, of those that the evaluation judged where it was given."""
    found = [row for row in read(test, "test") if row.label]
    kept = [example for example in found if judged is None or example.id in judged]
    if not kept:
        which = "has no row" if not found else f"has {len(found)} rows and none that the evaluation judged"
        raise InvalidInput(f"The channel `test` {which}: parity is measured on held-out texts.")
    return kept[:most]
