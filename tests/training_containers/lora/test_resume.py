"""kill -9 in the middle of a training, and the next attempt goes on from the last whole checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from millrace import contract

from tests.training_containers.lora.conftest import job_folder, rows
from training_containers.common import manifest
from training_containers.lora import course

pytestmark = pytest.mark.slow


def started(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training_containers.common.main", "lora", "--root", str(root)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def steps(said: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("status") == "training"]


def test_a_killed_training_goes_on_where_it_had_saved(tmp_path: Path, base: Path) -> None:
    every = rows(48)
    channels = {"train": every[:40], "validation": every[40:], "base": base}
    job = job_folder(tmp_path / "job", channels, strategy="lora-sft", epochs=12, learning_rate=0.01, patience=100)
    first = started(job.root)
    for _ in first.stdout or ():  # each line that it says is a moment to look
        if course.last_checkpoint(job.checkpoints):
            break
    first.kill()
    first.communicate()

    assert first.returncode == -9 and not (job.model / contract.MANIFEST).exists()
    saved = int(str(course.last_checkpoint(job.checkpoints)).rpartition("-")[2])
    second = started(job.root)
    said, wrong = second.communicate(timeout=240)

    assert second.returncode == 0, wrong
    assert saved <= steps(said)[0]["step"] < 36 and steps(said)[-1]["step"] == 36
    made = manifest.read(job.model).metrics
    assert made["steps"] == 36 and made["validation_loss"] < made["base_validation_loss"]


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    for name, state in (("checkpoint-3", "{}"), ("checkpoint-12", '{"global_step": '), ("checkpoint-20", None)):
        (tmp_path / name).mkdir()
        if state is not None:
            (tmp_path / name / "trainer_state.json").write_text(state)

    assert course.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-3")
