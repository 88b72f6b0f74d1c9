"""The jobs on real digits, as their container runs them: a search, its rounds as jobs, its end, and a kill between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from millrace import architecture, contract
from millrace.container import Metrics, Progress
from millrace.history import Tried

from tests.training_containers.cnn_search.conftest import QUICK, job, put, refused, run, start
from training_containers.cnn_search import data
from training_containers.common import manifest
from training_containers.common.job import Job

SMALL = {"blocks": [{"kind": "conv", "filters": 16}, {"kind": "pool"}, {"kind": "conv", "filters": 32}]}
SOUND = SMALL | {"head": {"pool": "max"}, "training": {"epochs": 8, "batch_size": 32}}
DIVERGING = {
    "blocks": [{"kind": "residual", "filters": 32, "norm": "none"}] * 8,
    "training": {"optimizer": "rmsprop", "learning_rate": 1.0, "warmup": 0.0, "epochs": 2},
}
"""Sixteen convolutions without a norm whose weights are ten after the first step."""


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory, channel: Path) -> tuple[Job, list[dict[str, Any]]]:
    """A whole search: a round of four, two seeds of one finalist, and both baselines."""
    settings = QUICK | {"population": 4, "oversample": 1.5, "seeds": 2, "baselines": True, "rungs": [0.5, 1.0]}
    settings |= {"target_accuracy": 1.0, "max_epochs": 8, "workers": 2}
    made = job(tmp_path_factory.mktemp("search"), channel, "cnn-search", **settings)
    return made, run(made)


def test_a_search_reaches_the_digits_and_tells_all_that_was_asked(searched: tuple[Job, list[dict[str, Any]]]) -> None:
    made, lines = searched
    told = manifest.read(made.model)

    assert told.format == "cnn" and told.strategy == "cnn-search"
    assert {f.path for f in told.files} == {"model.safetensors", "model.py", "network.json", "report.json"}
    figures = told.metrics
    assert figures["test_accuracy"] > 0.96 and figures["validation_accuracy"] > 0.96
    assert figures["test_accuracy_low"] < figures["test_accuracy"] < figures["test_accuracy_high"] + 1e-9
    for name in ("test_loss", "latency_ms", "images_per_s", "ram_peak_bytes", "cpu_s", "seed_test_accuracy_std"):
        assert figures[name] >= 0
    assert 0.5 < figures["resnet_test_accuracy"] <= 1 and 0.5 < figures["best_of_n_test_accuracy"] <= 1
    assert figures["seeds"] == 2 and figures["candidates"] == 4
    assert lines[-1] == {"type": "metrics", "metrics": figures}


def test_the_report_holds_the_confusion_the_history_and_what_was_denied(searched: Any) -> None:
    report = json.loads((searched[0].model / "report.json").read_text())

    confusion = report["test"]["confusion"]
    assert [sum(row) for row in confusion] == list(report["counts"]["test"].values())
    right = sum(confusion[i][i] for i in range(10)) / sum(map(sum, confusion))
    assert right == report["test"]["accuracy"] == manifest.read(searched[0].model).metrics["test_accuracy"]
    history = [Tried.model_validate(line) for line in report["history"]]
    assert {tried.state for tried in history} <= {"completed", "stopped"} and len(history) == 4
    assert report["confinement"] and not any(report["confinement"].values())


def test_every_line_is_the_contracts_and_names_its_trial(searched: tuple[Job, list[dict[str, Any]]]) -> None:
    steps = [Progress.model_validate(line) for line in searched[1][:-1]]
    Metrics.model_validate(searched[1][-1])

    trials = {line.trial for line in steps if line.status == "searching"}
    assert trials == {1, 2, 3, 4} and steps[0].status == "loading" and steps[-1].status == "finishing"
    assert all(line.step <= line.steps for line in steps) and steps[-1].step == steps[-1].steps
    bests = [line.best for line in steps if line.best is not None]
    assert bests[-1] >= max(bests) - 0.02


def test_the_exported_file_gives_the_accuracy_to_the_last_digit_without_our_code(searched: Any, tmp_path: Path) -> None:
    made = searched[0]
    held = data.load(made.channel("train"), 0).test()
    torch.save({"images": held.images, "labels": held.labels}, tmp_path / "held.pt")
    code = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import model
held = torch.load(sys.argv[2], weights_only=True)
said = model.scores(model.load(), held["images"]).argmax(1)
print(int((said == held["labels"]).sum()) / len(said), len(model.CLASSES))
assert not [name for name in sys.modules if name.startswith(("millrace", "training_containers", "pydantic"))]
"""
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", code, str(made.model), str(tmp_path / "held.pt")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [repr(manifest.read(made.model).metrics["test_accuracy"]), "10"]


def test_the_exported_file_classifies_an_image_by_name(searched: Any, tmp_path: Path) -> None:
    from tests.training_containers.cnn_search import digits

    images, labels = digits.arrays()
    (tmp_path / "five.png").write_bytes(digits.png(images[int((labels == 5).argmax())]))
    command = [sys.executable, "-P", str(searched[0].model / "model.py"), str(tmp_path / "five.png")]

    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True)

    share, name = done.stdout.splitlines()[0].split()
    assert name == "5" and float(share) > 0.5


def test_the_exported_file_passes_for_python_written_by_hand(searched: Any) -> None:
    text = (searched[0].model / "model.py").read_text()

    compile(text, "model.py", "exec")
    assert "class Network(nn.Module):" in text and "nn.Conv2d(" in text and "millrace" not in text
    assert max(map(len, text.splitlines())) < 160


def test_rounds_as_jobs_and_their_end_make_the_same_kind_of_result(small: Path, tmp_path: Path) -> None:
    """Two rounds of a scripted proposer that also answers code and a huge network, then the finish."""
    huge = {"blocks": [{"kind": "conv", "filters": 1024, "kernel": 7}] * 40}
    first = job(tmp_path / "one", small, "cnn-trials", round=0, rungs=[1.0])
    first.channel("proposals").mkdir()
    sources = {architecture.digest(architecture.parse(DIVERGING)): "evolution", "unknown": "somebody"}
    told = {"specs": [SOUND, huge, "import os", DIVERGING], "source": "llm", "parents": {}, "sources": sources}
    (first.channel("proposals") / "proposals.json").write_text(json.dumps(told))
    lines = run(first)

    results = json.loads((first.model / "results.json").read_text())
    assert results["tried"][0]["state"] == "completed"
    assert [one["source"] for one in results["tried"]][:2] == ["llm", "evolution"], "as each was proposed"
    assert len(results["refused"]) == 2
    assert "parameters; the budget" in results["refused"][0] and "not JSON" in results["refused"][1]
    assert results["best"] == lines[-1]["metrics"]["best_accuracy"] > 0.5
    assert manifest.read(first.model).format == "trials"

    second = put(job(tmp_path / "two", small, "cnn-trials", round=1, specs=[SOUND], rungs=[1.0]), "trials", first.model)
    run(second)
    again = json.loads((second.model / "results.json").read_text())
    assert again["refused"] == ["Proposal 1: it was tried already."] and len(again["tried"]) == len(results["tried"])

    longer = SOUND | {"training": SOUND["training"] | {"epochs": 50}}
    told_again = job(tmp_path / "cut", small, "cnn-trials", round=1, specs=[longer], rungs=[1.0], max_epochs=8)
    run(put(told_again, "trials", first.model))
    cut = json.loads((told_again.model / "results.json").read_text())
    assert cut["refused"] == ["A proposal of 50 epochs: cut to 8 it was tried already."]
    assert cut["tried"] == results["tried"]

    end = job(tmp_path / "three", small, "cnn-finish", finalists=1, seeds=1, baselines=False)
    put(end, "trials/one", first.model)
    put(end, "trials/two", second.model)
    run(end)
    whole = manifest.read(end.model)
    assert whole.format == "cnn"
    rounds = [json.loads((made.model / "results.json").read_text())["spent"] for made in (first, second)]
    assert rounds[0]["trainings"] > 1 and rounds[0]["train_s"] > 0 and rounds[1]["trainings"] == 0
    assert whole.metrics["trainings"] == rounds[0]["trainings"] + 1  # S4: the finalist's own, and every round's
    assert whole.metrics["train_s"] > rounds[0]["train_s"] and whole.metrics["cpu_s"] > rounds[0]["cpu_s"]
    assert whole.metrics["ram_peak_bytes"] >= max(told["ram_peak_bytes"] for told in rounds)


def test_a_diverging_candidate_is_tried_again_with_a_smaller_rate(small: Path, tmp_path: Path) -> None:
    made = job(tmp_path, small, "cnn-trials", specs=json.dumps([DIVERGING, SOUND]), retries=2, rungs=[1.0])
    run(made)

    tried = [Tried.model_validate(line) for line in json.loads((made.model / "results.json").read_text())["tried"]]
    failed = next(one for one in tried if one.state == "failed")
    retry = next(one for one in tried if one.source == "retry")
    assert failed.code == "diverged" and "not a number" in str(failed.error)
    assert retry.parent == failed.id and retry.spec.training.learning_rate == failed.spec.training.learning_rate / 4


def test_a_hanging_candidate_is_killed_and_the_job_goes_on(small: Path, tmp_path: Path) -> None:
    slow = {"blocks": [{"kind": "conv", "filters": 128}] * 3, "training": {"epochs": 300, "batch_size": 8}}
    limits = {"rungs": [1.0], "trial_timeout_s": 8, "max_epochs": 300, "retries": 0, "workers": 2}
    made = job(tmp_path, small, "cnn-trials", specs=[slow, SOUND], **limits)
    run(made)

    tried = json.loads((made.model / "results.json").read_text())["tried"]
    assert [(one["state"], one["code"]) for one in tried] == [("failed", "timeout"), ("completed", "")]
    assert "took longer than its 8 s and was killed" in tried[0]["error"]


def test_a_killed_search_goes_on_where_it_was(small: Path, tmp_path: Path) -> None:
    settings = QUICK | {"population": 3, "target_accuracy": 1.0, "max_epochs": 6}
    made = job(tmp_path, small, "cnn-search", **settings)
    process = start(made)
    journal = made.checkpoints / "trials.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_text().count("\n") >= 2):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {line["key"]: line for line in map(json.loads, journal.read_text().splitlines())}
    with journal.open("a") as file:
        file.write('{"key": "half a li')  # as a crash in the middle of a write leaves it

    run(made)

    lines = [raw for raw in journal.read_text().splitlines() if raw.endswith("}")]
    after = [json.loads(line) for line in lines]
    assert [line for line in after if line["key"] in before] == list(before.values())  # none was trained twice
    assert manifest.read(made.model).metrics["trainings"] == len(after)


def test_a_search_stops_at_its_target(small: Path, tmp_path: Path) -> None:
    made = job(tmp_path, small, "cnn-search", **(QUICK | {"rounds": 50, "population": 2, "target_accuracy": 0.2}))
    run(made)

    report = json.loads((made.model / "report.json").read_text())
    assert report["reached"] and len(report["history"]) < 20


@pytest.mark.parametrize(
    ("strategy", "settings", "sentence"),
    [
        ("cnn-search", {"rungs": [1.0], "max_parameters": 1}, "max_parameters"),
        ("cnn-trials", {}, "no proposal to try"),
        ("cnn-finish", {}, "holds no results.json"),
        ("cnn-native", {"architecture": "import os"}, "not JSON"),
        (
            "cnn-native",
            {"architecture": '{"blocks": [{"kind": "pool", "size": 3}, {"kind": "pool", "size": 3}]}'},
            "pools",
        ),
        ("cnn-transfer", {}, "holds 0 safetensors files"),
        ("cnn-else", {}, "no strategy 'cnn-else'"),
    ],
)
def test_what_cannot_work_is_told_in_a_sentence(
    small: Path, tmp_path: Path, strategy: str, settings: dict[str, Any], sentence: str
) -> None:
    assert sentence in refused(job(tmp_path, small, strategy, **settings))


def test_a_folder_that_is_no_channel_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert "no image channel" in refused(job(tmp_path / "job", tmp_path / "empty", "cnn-native"))
    assert not (tmp_path / "job" / contract.MODEL / contract.MANIFEST).exists()
