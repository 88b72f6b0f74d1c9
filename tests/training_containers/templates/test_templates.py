"""Both templates in the container's own layout: what they write, say and refuse, and that a stranger can load it."""

from __future__ import annotations

import csv
import importlib
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from millrace import contract
from millrace.container import Metrics, Progress
from safetensors.numpy import load_file

from training_containers.common import main, manifest
from training_containers.common.job import Job
from training_containers.templates import schema

NAMES = ["pytorch", "keras"]
TENSORFLOW = os.environ.get("MILLRACE_TENSORFLOW_PYTHON")
"""A Python that has TensorFlow (requirements/templates.in); without it Keras computes on PyTorch here."""


def points(count: int, seed: int) -> list[list[Any]]:
    """Two rings that no line divides."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        kind = draw.random() < 0.5
        angle, radius = draw.uniform(0, 6.283), draw.gauss(1.0 if kind else 3.0, 0.2)
        made.append([radius * np.cos(angle), 100 * radius * np.sin(angle), "inner" if kind else "outer"])
    return made


def job_folder(root: Path, name: str, channels: dict[str, list[list[Any]]], **hyperparameters: Any) -> Job:
    values = {"strategy": f"{name}-template", "epochs": 8, **hyperparameters}
    config = root / contract.HYPERPARAMETERS
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({key: json.dumps(value) for key, value in values.items()}))
    for channel, rows in channels.items():
        folder = root / contract.DATA / channel
        folder.mkdir(parents=True)
        with (folder / "data.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["x", "y", "label"], *rows])
    return Job(root)


def sentence(job: Job) -> str:
    assert main.run("templates", job) == 1
    return (job.root / contract.FAILURE).read_text()


@pytest.fixture(scope="module", params=NAMES)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Job, str]:
    import contextlib
    import io

    channels = {"train": points(240, 1), "validation": points(80, 2)}
    job = job_folder(tmp_path_factory.mktemp(request.param) / "job", request.param, channels, learning_rate=0.03)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = main.run("templates", job)
    assert status == 0, (job.root / contract.FAILURE).read_text()
    return request.param, job, said.getvalue()


def test_it_learns_and_its_manifest_proves_the_result_whole(done: tuple[str, Job, str]) -> None:
    name, job, _ = done
    made = manifest.read(job.model)

    assert (made.format, made.strategy) == ("weights", f"{name}-template")
    assert made.format in contract.MODEL_FORMATS
    assert {file.path for file in made.files} == {"model.safetensors", "architecture.json"}
    assert made.metrics["accuracy"] > 0.9 and made.metrics["train_rows"] == 240


def test_every_line_is_progress_and_the_last_one_the_metrics(done: tuple[str, Job, str]) -> None:
    _, job, said = done
    *lines, last = said.splitlines()

    steps = [Progress.model_validate_json(line) for line in lines]
    assert steps[-1].step == steps[-1].steps == 8 and steps[-1].accuracy is not None
    assert Metrics.model_validate_json(last).metrics == manifest.read(job.model).metrics


def test_the_weights_are_safetensors_and_the_architecture_json_that_build_it_again(done: tuple[str, Job, str]) -> None:
    name, job, _ = done
    module = importlib.import_module(f"training_containers.templates.{name}_train")
    rows = points(80, 2)
    x, wanted = np.array([row[:2] for row in rows], np.float32), [row[2] for row in rows]

    if name == "pytorch":
        import torch

        network, scaling, architecture = module.loaded(job.model)
        with torch.no_grad():
            scores = network((torch.from_numpy(x) - scaling["mean"]) / scaling["spread"]).numpy()
    else:
        network, architecture = module.loaded(job.model)
        scores = np.asarray(network.predict(x, verbose=0))
    said = [architecture["classes"][place] for place in scores.argmax(axis=1)]

    accuracy = float(np.mean([a == b for a, b in zip(said, wanted, strict=True)]))
    assert accuracy == pytest.approx(manifest.read(job.model).metrics["accuracy"])


def test_numpy_alone_gets_the_same_answers_from_the_pytorch_templates_files(done: tuple[str, Job, str]) -> None:
    name, job, _ = done
    tensors = load_file(job.model / "model.safetensors")
    if name != "pytorch":
        assert {"hidden/kernel", "logits/kernel"} <= set(tensors)
        return
    x = (np.array([row[:2] for row in points(80, 2)]) - tensors["scaling.mean"]) / tensors["scaling.spread"]
    hidden = np.maximum(x @ tensors["0.weight"].T + tensors["0.bias"], 0)
    said = (hidden @ tensors["2.weight"].T + tensors["2.bias"]).argmax(axis=1)

    accuracy = np.mean([("inner", "outer")[place] == row[2] for place, row in zip(said, points(80, 2), strict=True)])
    assert accuracy == pytest.approx(manifest.read(job.model).metrics["accuracy"])


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_was_killed_goes_on_from_its_checkpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"training_containers.templates.{name}_train")
    job = job_folder(tmp_path, name, {"train": points(60, 3)}, epochs=4)
    seen: list[int] = []

    class Killed(BaseException):
        pass

    class Reporter:
        def __init__(self, steps: int) -> None:
            pass

        def step(self, step: int, **_: Any) -> None:
            seen.append(step)
            if seen == [1, 2, 3]:
                raise Killed

    monkeypatch.setattr(module, "Reporter", Reporter)
    with pytest.raises(Killed):
        module.train(job)
    module.train(job)

    assert seen[:3] == [1, 2, 3] and seen[-1] == 4 and len(seen) <= 5
    assert manifest.read(job.model).metrics["train_rows"] == 48


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1, 2, "a"], [1, "x", "b"]], "Line 3 of data.csv holds what is no number."),
        ([[1, 2, "a"], [1, "inf", "b"]], "Line 3 of data.csv holds a number that is not finite."),
        ([[1, 2, "a"], [1, 2, "a"]], "data.csv has 2 rows of 1 labels; two of each are the least."),
    ],
)
def test_a_table_that_is_none_is_refused_in_words(tmp_path: Path, name: str, rows: list[Any], said: str) -> None:
    assert sentence(job_folder(tmp_path, name, {"train": rows})) == said


def test_a_label_that_was_never_trained_on_is_named(tmp_path: Path) -> None:
    channels = {"train": points(20, 1), "validation": [[1, 2, "middle"], [1, 2, "inner"]]}

    assert sentence(job_folder(tmp_path, "pytorch", channels)).startswith(
        "The label 'middle' of the channel `validation`"
    )


def test_strategy_json_is_what_the_settings_describe_and_offers_nothing() -> None:
    told = json.loads(Path(schema.__file__).with_name("strategy.json").read_text())

    assert told == schema.described()
    assert {entry["kind"] for entry in told["strategies"].values()} == {"template"}


def test_the_commands_of_the_readme_run_as_pasted(tmp_path: Path) -> None:
    text = Path(schema.__file__).with_name("README.md").read_text()
    blocks = re.findall(r"```sh\n(.+?)```", text, re.DOTALL)
    root = Path(schema.__file__).parents[2]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "JOB": str(tmp_path / "job"), "PATH": f"{Path(sys.executable).parent}:"
        + os.environ["PATH"], "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    ran = subprocess.run(["bash", "-euc", blocks[0]], cwd=root, env=env, capture_output=True, text=True, timeout=240)

    assert ran.returncode == 0, ran.stderr[-2000:]
    assert manifest.read(tmp_path / "job" / "model").strategy == "pytorch-template"


@pytest.mark.skipif(not TENSORFLOW, reason="MILLRACE_TENSORFLOW_PYTHON names no Python with TensorFlow")
def test_keras_on_tensorflow_itself_writes_the_same_result(tmp_path: Path) -> None:
    job = job_folder(tmp_path / "job", "keras", {"train": points(120, 1)})
    root = Path(schema.__file__).parents[2]
    env = os.environ | {"PYTHONPATH": f"{root}:{root / 'shared'}", "KERAS_BACKEND": "tensorflow"}
    command = [str(TENSORFLOW), "-m", "training_containers.common.main", "templates", "--root", str(job.root)]

    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stderr[-2000:]
    assert manifest.read(job.model).hyperparameters["backend"] == "tensorflow"
