"""DPO and KTO in the container's own layout, on the data that they are meant for and on plain pairs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.training_containers.lora.conftest import job_folder, rows, sentence
from training_containers.common import main, manifest
from training_containers.common.job import Job

COMMON: dict[str, Any] = {
    "epochs": 2,
    "learning_rate": 0.01,
    "seed": 1,
    "minimum_rows": 8,
    "batch_size": 8,
    "probe": False,
}


def preferences(count: int) -> list[dict[str, Any]]:
    """The target is wanted, its words in another order are not."""
    draw, made = random.Random(3), []
    for row in rows(count):
        words = row["target"].split()
        draw.shuffle(words)
        made.append({"id": row["id"], "prompt": row["source"], "chosen": row["target"], "rejected": " ".join(words)})
    return made


def verdicts(count: int) -> list[dict[str, Any]]:
    made = preferences(count)
    return [
        {"prompt": row["prompt"], "completion": row["rejected" if n % 3 else "chosen"], "label": n % 3 == 0}
        for n, row in enumerate(made)
    ]


def trained(root: Path, base: Path, strategy: str, every: list[Any], held: int, **more: Any) -> Job:
    channels = {"train": every[:-held], "validation": every[-held:], "base": base}
    job = job_folder(root / "job", channels, strategy=strategy, **COMMON | more)
    assert main.run("lora", job) == 0, (job.root / "output" / "failure").read_text()
    return job


def moved(job: Job) -> bool:
    tensors = load_file(job.model / "adapter_model.safetensors")
    return any(weights.abs().max() > 0 for name, weights in tensors.items() if "lora_B" in name)


def test_dpo_learns_which_of_two_answers_is_wanted(tmp_path: Path, base: Path) -> None:
    job = trained(tmp_path, base, "lora-dpo", preferences(40), 8, epochs=4)

    made = manifest.read(job.model)
    assert (made.format, made.strategy, moved(job)) == ("adapter", "lora-dpo", True)
    assert made.metrics["preference_accuracy"] >= 0.75
    assert made.metrics["validation_loss"] < made.metrics["base_validation_loss"]
    assert not [name for name in load_file(job.model / "adapter_model.safetensors") if "ref" in name]
    assert json.loads((job.model / "report.json").read_text())["adapted"] == [
        "down_proj", "gate_up_proj", "o_proj", "qkv_proj"
    ]  # fmt: skip


def test_a_plain_pair_was_chosen_over_its_source(tmp_path: Path, base: Path) -> None:
    job = trained(tmp_path, base, "lora-dpo", rows(20), 4, epochs=1)

    assert manifest.read(job.model).metrics["train_rows"] == 16 and moved(job)


def test_kto_learns_from_verdicts_alone(tmp_path: Path, base: Path) -> None:
    job = trained(tmp_path, base, "lora-kto", verdicts(40), 8)

    made = manifest.read(job.model)
    assert (made.strategy, moved(job)) == ("lora-kto", True)
    assert made.metrics["preference_loss"] < made.metrics["base_preference_loss"]


def test_verdicts_of_one_kind_are_refused(tmp_path: Path, base: Path) -> None:
    up = [{"prompt": row["source"], "completion": row["target"], "label": False} for row in rows(16)]

    job = job_folder(tmp_path, {"train": up, "base": base}, strategy="lora-kto", **COMMON)

    assert sentence(job, "lora-kto") == "KTO compares wanted answers with unwanted ones; there are 0 and 14."


@pytest.mark.parametrize("count", [3, 8, 11])
def test_each_batch_of_kto_carries_its_own_answers_turned_by_one(count: int) -> None:
    from types import SimpleNamespace

    from datasets import Dataset

    from training_containers.lora.preference import Kto

    rows = Dataset.from_dict({"completion_ids": [[n] for n in range(count)]})

    made = Kto._prepare_dataset(None, rows, None, SimpleNamespace(per_device_train_batch_size=4))  # type: ignore[arg-type]

    for at in range(0, count, 4):
        own, turned = made["completion_ids"][at : at + 4], made["KL_completion_ids"][at : at + 4]
        assert sorted(own) == sorted(turned) and (
            own[1:] + own[:1] == turned[1:] + turned[:1] or own[:-1] == turned[1:]
        )
