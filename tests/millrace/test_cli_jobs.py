"""`millrace jobs`: what it asks, what it shows, and a container launched by hand."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from millrace.cli import training
from millrace.cli.app import app
from millrace.contract import JobState
from typer.testing import CliRunner, Result

from tests.console import stage
from tests.loopback import Served, served

Run = Callable[..., Result]
IMAGES = Path(__file__).parent / "executors/fake_images"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(training, "POLL_S", 0.02)
    with served() as up:
        monkeypatch.setenv("MILLRACE_API", up.url)
        yield up


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def _said(api: Served, id: str, *lines: str) -> None:
    from millrace.joblog import JobLog, Line

    log = JobLog(api.corpus.table)
    log.add(api.tenant, id, 1, "train", [Line(n, f"{len(lines)}{n}", line) for n, line in enumerate(lines)])


def test_the_list_can_be_of_one_state(api: Served) -> None:
    stage.job(api, "jone")
    stage.running(api, "jtwo")

    told = json.loads(run("jobs", "list", "--state", "running", "--json").stdout)

    assert [job["id"] for job in told["items"]] == ["jtwo"]
    assert run("jobs", "list", "--state", "dreaming").exit_code == 2


def test_logs_are_followed_to_the_end_of_the_job(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.running(api, "jone")
    _said(api, "jone", "loading", "[bold]not markup[/]")
    polls: list[float] = []

    def wait(seconds: float) -> None:
        polls.append(seconds)
        if len(polls) == 2:
            _said(api, "jone", "x", "y", "last words")
            api.jobs.move(api.tenant, "jone", JobState.FAILED, 1, {"error": "It broke."})
            api.corpus.table.put({**_job(api), "updated_at": "2026-01-01T00:00:00.000Z"})
        assert len(polls) < 50

    monkeypatch.setattr(training.time, "sleep", wait)

    lines = run("jobs", "logs", "jone", "-f").stdout.splitlines()

    assert lines[:2] == ["train  loading", "train  [bold]not markup[/]"] and lines[-1] == "train  last words"
    assert len(polls) >= 2


def _job(api: Served) -> dict[str, Any]:
    found: dict[str, Any] = api.corpus.table.get("demo#job#jone", "body")
    return found


def test_without_following_the_log_ends_where_it_ends_now(api: Served) -> None:
    stage.running(api, "jone")
    _said(api, "jone", "loading")

    assert run("jobs", "logs", "jone").stdout == "train  loading\n"
    (line,) = run("jobs", "logs", "jone", "--json").stdout.splitlines()
    assert json.loads(line)["text"] == "loading"


def test_a_forecast_is_told_in_one_sentence_and_a_table(api: Served) -> None:
    rows = "".join(f"Moreover text number {n},Text number {n}\n" for n in range(80))
    api.drop("pairs.csv", ("prompt,completion\n" + rows).encode())

    said = run("jobs", "forecast").stdout

    assert "about 0.00 USD" in said and "lora-sft" in said and "ml.local" in said
    assert json.loads(run("jobs", "list", "--json").stdout)["items"] == []


def test_attempts_and_why_they_ended_are_shown(api: Served) -> None:
    job = api.jobs.get(api.tenant, stage.running(api, "jone").id)
    api.jobs.again(api.tenant, job, "OutOfMemory", "Too big. Begun again with batch size 8 instead of 16.")

    assert "Too big." in run("jobs", "attempts", "jone").stdout
    assert "attempt 1: Too big. Begun again" in run("jobs", "show", "jone").stdout


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words of a launch whose process is the fake container's."""
    from millrace.executors import process

    monkeypatch.setattr(process.Processes, "containers", IMAGES)
    monkeypatch.setattr(process.Processes.__init__, "__defaults__", (IMAGES, sys.executable, {}))
    (tmp_path / "rows.jsonl").write_text("{}\n")
    return [
        "jobs",
        "launch",
        "--channel",
        f"train={tmp_path / 'rows.jsonl'}",
        "--out",
        str(tmp_path / "job"),
        "--network",
    ]


def test_a_container_is_launched_by_hand_and_its_result_checked(here: list[str]) -> None:
    said = run(*here, "--set", "instruction=complete", "--json")

    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["metrics"] == {"loss": 0.5} and '"step": 1' in said.stderr


def test_a_launch_that_fails_says_why_and_exits_1(here: list[str]) -> None:
    said = run(*here, "--set", "instruction=memory")
    assert said.exit_code == 1 and "16 rows of 512 tokens" in said.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--executor", "cloud"], "There is no executor 'cloud'"),
        (["--executor", "sagemaker"], "SageMaker wants --role and --place"),
        (["--channel", "train"], "A channel is given as name=path, not 'train'"),
        (["--strategy", "magic"], "There is no strategy 'magic'"),
        (["--remote"], "The SDK wants --image, and --role|pip install 'millrace\\[sagemaker\\]'"),
    ],
)
def test_a_launch_that_cannot_be_is_refused_in_words(here: list[str], words: list[str], says: str) -> None:
    said = run(*here, *words)
    assert said.exit_code == 1 and re.search(says, said.stderr)


def test_the_sdk_is_handed_the_same_launch(here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def recorder(name: str) -> Any:
        def record(**arguments: Any) -> Any:
            made.append({"made": name, **arguments})
            return type(name, (), {"train": lambda self, **how: made.append({"made": "train", **how})})()

        return record

    names = {
        "sagemaker.core.helper.session_helper": ["Session"],
        "sagemaker.core.shapes": ["StoppingCondition"],
        "sagemaker.core.training.configs": ["Compute", "InputData", "Networking", "OutputDataConfig"],
        "sagemaker.train": ["ModelTrainer"],
        "sagemaker.train.model_trainer": [],
    }
    for path in ("sagemaker", "sagemaker.core", "sagemaker.core.helper", "sagemaker.core.training", *names):
        module = ModuleType(path)
        for name in names.get(path, []):
            setattr(module, name, recorder(name))
        monkeypatch.setitem(sys.modules, path, module)
    mode = type("Mode", (), {"LOCAL_CONTAINER": "local", "SAGEMAKER_TRAINING_JOB": "remote"})
    sys.modules["sagemaker.train.model_trainer"].Mode = mode  # type: ignore[attr-defined]

    said = run(*here, "--remote", "--image", "lora:1", "--role", "r", "--instance", "ml.g5.2xlarge")

    assert said.exit_code == 0, said.stderr
    by_name = {call["made"]: call for call in made}
    assert by_name["Session"]["sagemaker_config"]["SageMaker"]["PythonSDK"]["Modules"]["TelemetryOptOut"] is True
    trainer = by_name["ModelTrainer"]
    assert (trainer["training_mode"], trainer["role"], trainer["training_image"]) == ("remote", "r", "lora:1")
    assert json.loads(trainer["hyperparameters"]["strategy"]) == "lora-sft"
    assert by_name["Compute"]["instance_type"] == "ml.g5.2xlarge" and by_name["InputData"]["channel_name"] == "train"
    assert by_name["train"] == {"made": "train", "wait": True, "logs": True}
