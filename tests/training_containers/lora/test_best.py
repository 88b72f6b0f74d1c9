"""A training that gets worse on the held-out rows: it ends early, and what is written is not the end of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from millrace import contract

from tests.training_containers.lora.conftest import job_folder, rows
from training_containers.common import main, manifest
from training_containers.common.job import Job

PATIENCE = 1
MANY = {"epochs": 20, "learning_rate": 0.02, "seed": 1, "probe": False, "patience": PATIENCE, "batch_size": 16}
STRANGE = "7 4 9 2 8 1 6 3 5 0 " * 3
"""Nothing of it is ever a target in training, so that with each epoch it is expected less."""


@pytest.fixture(scope="module")
def overdone(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Job:
    every = rows(48)
    channels = {"train": every[:40], "validation": [row | {"target": STRANGE} for row in every[40:]], "base": base}
    job = job_folder(tmp_path_factory.mktemp("overdone") / "job", channels, strategy="lora-sft", **MANY)
    assert main.run("lora", job) == 0, (job.root / contract.FAILURE).read_text()
    return job


def looks(job: Job) -> tuple[dict[str, Any], list[float]]:
    """The last checkpoint's state, and the held-out loss after each epoch."""
    last = max(job.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    state: dict[str, Any] = json.loads((last / "trainer_state.json").read_text())
    return state, [line["eval_loss"] for line in state["log_history"] if "eval_loss" in line]


def test_it_ends_where_the_held_out_rows_have_learned_nothing_for_as_long_as_patience(overdone: Job) -> None:
    """J10."""
    _, losses = looks(overdone)

    assert len(losses) - 1 - losses.index(min(losses)) == PATIENCE
    assert manifest.read(overdone.model).metrics["epochs"] == len(losses) < MANY["epochs"]


def test_what_is_written_is_the_best_of_the_looks_and_not_the_last(overdone: Job) -> None:
    """J10: and its figures are those of what is written."""
    state, losses = looks(overdone)

    best = overdone.checkpoints / Path(state["best_model_checkpoint"]).name
    written, kept = (safetensors.torch.load_file(path / "adapter_model.safetensors") for path in (overdone.model, best))
    assert losses[-1] > min(losses) + 0.02 and written.keys() == kept.keys()
    assert all(torch.equal(written[name], kept[name]) for name in written)
    assert manifest.read(overdone.model).metrics["validation_loss"] == pytest.approx(min(losses), abs=1e-6)
