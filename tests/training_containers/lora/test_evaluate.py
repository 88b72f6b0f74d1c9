"""Base and candidate judged on held-out rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training_containers.lora.conftest import job_folder, rows, sentence
from training_containers.common import main, manifest
from training_containers.common.job import Job
from training_containers.lora import evaluate

FIGURES = {
    "examples", "content_kept_rate", "edit_rate", "base_edit_rate", "edit_gain_low", "edit_gain_high", "loss",
    "base_loss", "loss_ratio", "exact_rate", "chrf", "bleu", "rouge_l", "similarity",
    "faithful_rate", "ai_likeness_change", "generated_tokens_per_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(trained: Job, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    channels = {"base": base, "model": trained.model, "test": rows(8, first=56)}
    job = job_folder(tmp_path_factory.mktemp("e") / "job", channels, strategy="lora-evaluate", max_new_tokens=24)
    assert main.run("lora", job) == 0
    return job


def test_the_manifest_carries_exactly_the_gates_figures(evaluated: Job) -> None:
    made = manifest.read(evaluated.model)

    assert made.format == "evaluation" and set(made.metrics) == FIGURES
    assert made.metrics["examples"] == 8
    assert made.metrics["loss_ratio"] == pytest.approx(made.metrics["loss"] / made.metrics["base_loss"])
    assert made.metrics["loss"] < made.metrics["base_loss"]


def test_every_example_stands_by_itself(evaluated: Job) -> None:
    told = json.loads((evaluated.model / "evaluation.json").read_text())["examples"]

    assert [row["id"] for row in told] == [row["id"] for row in rows(8, first=56)]
    assert all(
        set(row) == {"id", "source", "target", "output", "base_output", "kept", "edited", "violations"} for row in told
    )


def test_the_loss_over_targets_is_the_models_own_row_by_row(base: Path) -> None:
    import torch

    from training_containers.common.rows import Row
    from training_containers.lora import base as bases
    from training_containers.lora import data, packing

    tokenizer, model = bases.load(base)
    model.float()
    made = data.encode(tokenizer, {5}, [Row(r["id"], r["source"], r["target"]) for r in rows(5)], "")

    with torch.no_grad():
        each = [model(torch.tensor([r.ids]), labels=torch.tensor([r.labels])).loss.item() for r in made]
    weights = [len(r.target) for r in made]
    alone = sum(loss * weight for loss, weight in zip(each, weights, strict=True)) / sum(weights)
    assert packing.target_loss(model, made, 3) == pytest.approx(alone, rel=1e-4)


def test_batched_greedy_answers_are_those_of_one_row_alone(base: Path) -> None:
    from training_containers.common.rows import Row
    from training_containers.lora import base as bases
    from training_containers.lora import data
    from training_containers.lora.settings import EvaluateSettings

    tokenizer, model = bases.load(base)
    model.float()
    made = data.encode(tokenizer, {5}, [Row(r["id"], r["source"], r["target"]) for r in rows(4)], "")
    seen: list[int] = []

    def answers(size: int) -> list[str]:
        wanted = EvaluateSettings(batch_size=size, max_new_tokens=6)
        return evaluate.written(model, tokenizer, made, wanted, seen.append)[0]

    assert answers(4) == answers(1)
    assert seen == [4, 1, 2, 3, 4]


def test_slices_by_length_hold_every_row_once_and_weigh_to_the_whole(evaluated: Job) -> None:
    told = json.loads((evaluated.model / "evaluation.json").read_text())["slices"]
    whole = manifest.read(evaluated.model).metrics

    assert [told[name]["examples"] for name in ("short", "middling", "long")] == [3, 3, 2]
    assert told["short"]["longest_source"] <= told["middling"]["longest_source"] <= told["long"]["longest_source"]
    kept = sum(part["content_kept_rate"] * part["examples"] for part in told.values())
    assert kept / 8 == pytest.approx(whole["content_kept_rate"])


def test_overlap_is_full_for_equal_texts_and_less_for_others() -> None:
    same = evaluate.overlap(["The team left."], ["The team left."])
    other = evaluate.overlap(["The team left."], ["A group stayed."])

    assert same == {
        "chrf": pytest.approx(100),
        "bleu": pytest.approx(100),
        "rouge_l": pytest.approx(1),
        "similarity": 1,
    }
    assert other["chrf"] < 30 and other["rouge_l"] == 0


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("model", "The job has no channel `model`: there is no adapter to evaluate."),
        ("test", "The channel `test` has no data.jsonl."),
        ("base", "The channel `base` has no config.json"),
    ],
)
def test_a_missing_channel_is_named(trained: Job, base: Path, tmp_path: Path, left_out: str, said: str) -> None:
    channels: dict[str, Any] = {"base": base, "model": trained.model, "test": rows(3, first=56)}
    del channels[left_out]

    assert sentence(job_folder(tmp_path, channels, strategy="lora-evaluate"), "lora-evaluate").startswith(said)


def test_a_result_that_is_no_adapter_is_refused(evaluated: Job, base: Path, tmp_path: Path) -> None:
    channels = {"base": base, "model": evaluated.model, "test": rows(3, first=56)}

    said = sentence(job_folder(tmp_path, channels, strategy="lora-evaluate"), "lora-evaluate")

    assert said == "The channel `model` holds a result of format evaluation, not an adapter."
