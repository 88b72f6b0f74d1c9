"""A short training in the container's own layout: what it writes, says and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from millrace import contract
from millrace.container import Metrics, Progress

from tests.training_containers.lora.conftest import job_folder, rows, sentence
from training_containers.common import main, manifest
from training_containers.common.job import Job


def test_the_result_is_an_adapter_that_its_manifest_proves_whole(trained: Job) -> None:
    made = manifest.read(trained.model)

    assert (made.format, made.strategy) == ("adapter", "lora-sft")
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= {file.path for file in made.files}
    assert made.hyperparameters["learning_rate"] == 0.01 and made.hyperparameters["rank"] == 8


def test_the_adapter_names_its_base_by_hash_and_no_path(trained: Job) -> None:
    told = json.loads((trained.model / "adapter_config.json").read_text())

    assert told["base_model_name_or_path"] == f"sha256:{manifest.read(trained.model).base}"
    assert str(trained.root) not in (trained.model / "adapter_config.json").read_text()


def test_every_linear_layer_carries_the_adapter_fused_ones_too(trained: Job) -> None:
    from safetensors import safe_open

    with safe_open(trained.model / "adapter_model.safetensors", "pt") as file:
        names = {name.split(".layers.")[1].split(".lora_")[0] for name in file.keys()}

    fused = ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
    assert names == {f"{layer}.{name}" for layer in (0, 1) for name in fused}


def test_training_lowers_the_validation_loss(trained: Job) -> None:
    figures = manifest.read(trained.model).metrics

    assert figures["validation_loss"] < figures["base_validation_loss"] - 0.1
    assert (figures["train_rows"], figures["steps"], figures["epochs"]) == (48, 9, 3)


def test_every_line_on_stdout_is_progress_and_the_last_one_the_metrics(trained: Job) -> None:
    *lines, last = (trained.root / "stdout").read_text().splitlines()

    said = [Progress.model_validate_json(line) for line in lines]
    final = [line for line in said if line.status == "training"][-1]
    assert (final.step, final.steps, final.epoch) == (9, 9, 3.0) and final.loss and final.best
    assert Metrics.model_validate_json(last).metrics == manifest.read(trained.model).metrics


def test_too_few_rows_are_refused_with_the_minimum(tmp_path: Path, base: Path) -> None:
    job = job_folder(tmp_path, {"train": rows(39), "base": base}, strategy="lora-sft")

    assert sentence(job) == (
        "39 training rows are too few to learn from: the minimum is 40 rows of at most 512 tokens."
    )


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ({"base": "base"}, "The job has no channel `train`."),
        ({"train": "rows"}, "The channel `base` has no config.json: it must hold a model's folder."),
        ({"train": "rows", "test": "rows", "base": "base"}, "60 rows of `test` have a source that is also trained on"),
    ],
    ids=["no train", "no base", "leak"],
)
def test_a_job_that_cannot_be_right_says_why(tmp_path: Path, base: Path, channels: dict[str, str], said: str) -> None:
    given = {"base": base, "rows": rows(60)}

    job = job_folder(tmp_path, {name: given[kind] for name, kind in channels.items()}, strategy="lora-sft")

    assert sentence(job).startswith(said)


def test_weights_that_are_not_safetensors_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"x")

    job = job_folder(tmp_path / "job", {"train": rows(50), "base": folder}, strategy="lora-sft")

    assert sentence(job) == "The channel `base` has no safetensors; other weights are not read."


def test_a_hyperparameter_out_of_bounds_is_named(tmp_path: Path, base: Path) -> None:
    job = job_folder(tmp_path, {"train": rows(50), "base": base}, strategy="lora-sft", rank=-1)

    assert sentence(job).startswith("rank: ")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, base: Path) -> dict[str, float]:
    return figures(tmp_path_factory.mktemp("plain"), base, batch_size=16)


def figures(root: Path, base: Path, **more: object) -> dict[str, float]:
    every = rows(56)
    channels = {"train": every[:48], "validation": every[48:], "base": base}
    told = {"epochs": 2, "learning_rate": 0.01, "seed": 1, "probe": False, **more}
    job = job_folder(root / "job", channels, strategy="lora-sft", **told)
    assert main.run("lora", job) == 0, (job.root / contract.FAILURE).read_text()
    return manifest.read(job.model).metrics


@pytest.mark.parametrize(
    "more",
    [{"batch_size": 4, "accumulation": 4}, {"batch_size": 16, "gradient_checkpointing": True}],
    ids=["accumulated", "checkpointed"],
)
def test_a_rung_of_the_ladder_learns_what_the_whole_batch_does(
    tmp_path: Path, base: Path, plain: dict[str, float], more: dict[str, object]
) -> None:
    made = figures(tmp_path, base, **more)

    assert made["steps"] == plain["steps"] == 6
    assert made["validation_loss"] < plain["base_validation_loss"] - 0.05
    assert made["validation_loss"] == pytest.approx(plain["validation_loss"], abs=0.01)


def test_padded_rows_learn_too_where_packing_is_not_wanted(tmp_path: Path, base: Path, plain: dict[str, float]) -> None:
    made = figures(tmp_path, base, batch_size=16, packing=False)

    assert made["validation_loss"] == pytest.approx(plain["validation_loss"], abs=0.1)
