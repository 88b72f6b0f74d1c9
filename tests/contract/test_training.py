"""Containers, the state machine and the steps speak of the same things in the same words."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from millrace import contract
from millrace.container import Metrics, Progress
from millrace.contract import Tier
from millrace.datapoints import DataPoint, Origin, content_id
from millrace.jobs import Job, of_job_name
from millrace.pipeline import Pipeline
from millrace.settings import Steps
from millrace.strategies import strategies
from millrace.tenants import Tenant

from cdk import machine
from cdk.train_machine import definition
from tests.conftest import ENVIRONMENT
from tests.fakes import PREFIX, World
from training_containers.common import manifest, progress
from training_containers.common.job import Job as ContainerJob

ACME = Tenant("acme", Tier.ENTERPRISE)
PARTS = machine.Steps(
    "plan", "gate", "register", "deploy", "conclude", ENVIRONMENT["MILLRACE_TRAINING_ROLE"], "key", 3600, 15, 60
)
MACHINE = definition(PARTS)


@pytest.fixture
def world() -> World:
    world = World()
    for n in range(60):
        source, target = f"Moreover text {n}", f"Text {n}"
        world.corpus.add(ACME, DataPoint(content_id(source, target), Origin.DROP, source, target, "1", f"dr#{n}"))
    return world


@pytest.fixture
def pipeline(world: World) -> Pipeline:
    return Pipeline(Steps.from_env(ENVIRONMENT), world.corpus, world.store, world.jobs, world.registry)


@pytest.fixture
def job(world: World) -> Job:
    return world.training.begin(ACME, "j" + "0" * 20)


# --- the manifest -----------------------------------------------------------------------------------------------------
def test_what_a_container_writes_is_what_the_pipeline_reads(tmp_path: Path, pipeline: Pipeline, job: Job) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/weights.bin").write_bytes(b"abc")
    metrics = {"loss": 0.25, "loss_ratio": math.nan, "worst": math.inf}
    written = manifest.write(
        tmp_path,
        format="adapter",
        strategy="lora-sft",
        metrics=metrics,
        hyperparameters={"rank": 16, "targets": ["q"], "instruction": "Rewrite:"},
        source=Path(manifest.__file__).parent,
    )
    plan = pipeline.plan(ACME, job.id, 1)
    key = pipeline._stage_key(ACME, job, "train") + contract.MANIFEST
    for name in ("sub/weights.bin", contract.MANIFEST):
        pipeline.store.put(pipeline._stage_key(ACME, job, "train") + name, (tmp_path / name).read_bytes())

    read = pipeline.manifest(ACME, job, "train")

    assert read.files == written.files == manifest.read(tmp_path).files
    assert read.metrics["loss"] == 0.25 and math.isnan(read.metrics["loss_ratio"]) and set(read.metrics) == set(metrics)
    assert read.hyperparameters == written.hyperparameters
    assert f"s3://millrace-test-data/{key}".replace("millrace-test-data", "data").startswith(
        f"{plan['train']['output_path']}{plan['train']['name']}/output/model/"
    )


def test_a_figure_that_came_to_nothing_refuses_the_candidate_and_breaks_nothing() -> None:
    from millrace.gate import judge

    text = Metrics(metrics={"loss_ratio": math.nan}).model_dump_json()
    figures = Metrics.model_validate_json(text).metrics

    assert [r["code"] for r in judge("adapter", figures).reasons if r["code"] == "gate.loss_ratio"]


# --- progress lines ---------------------------------------------------------------------------------------------------
def test_each_line_that_a_container_prints_is_one_that_progress_reads(
    capsys: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    from millrace.joblog import Line

    from functions.progress.handler import _read

    def latest(lines: list[str]) -> Progress | None:
        found = [told for line in lines if isinstance(told := _read(Line(1, "1", line)), Progress)]
        return found[-1] if found else None

    reporter = progress.Reporter(steps=3, every_s=0)
    reporter.step(1, loss=math.nan, epoch=0.5, metrics={"learning_rate": 1e-5, "grad_norm": math.inf})
    reporter.step(3, loss=0.5, trial=2, accuracy=0.9, best=0.4)
    progress.metrics({"loss": math.nan})
    first, last, metrics = capsys.readouterr().out.splitlines()

    assert latest([first]) and latest([first, last, metrics])
    told = latest([last, metrics, "Epoch 3/3"])
    assert told and (told.step, told.steps, told.loss, told.trial) == (3, 3, 0.5, 2)
    assert orjson.loads(metrics)["type"] == "metrics"


# --- the plan and the machine -----------------------------------------------------------------------------------------
def _paths(value: Any) -> set[str]:
    return set(re.findall(r"\$\.plan\.[a-z_.]+", json.dumps(value)))


def _at(plan: dict[str, Any], path: str) -> Any:
    for name in path.removeprefix("$.plan.").split("."):
        plan = plan[name]
    return plan


def test_every_path_of_the_machine_into_the_plan_is_there_with_the_type_that_sagemaker_wants(
    pipeline: Pipeline, job: Job
) -> None:
    plan = pipeline.plan(ACME, job.id, 1)
    paths = _paths(MACHINE)
    kinds = {"volume_gb": int, "stopping": dict, "spot": bool, "hyperparameters": dict, "channels": list}

    assert len(paths) >= 3 * 8
    for path in paths:
        assert isinstance(_at(plan, path), kinds.get(path.rsplit(".", 1)[1], str)), path
    assert set(MACHINE["States"]["Plan"]["ResultSelector"].values()) == {f"$.Payload.{name}" for name in plan}
    assert len(json.dumps(plan)) < 64_000, "a state holds 256 KB at most"


def test_the_plan_is_a_request_that_sagemaker_would_take(pipeline: Pipeline, job: Job) -> None:
    from botocore.session import get_session
    from botocore.validate import ParamValidator

    plan = pipeline.plan(ACME, job.id, 1)
    shape = get_session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    for name in ("Train", "Evaluate", "Quantize"):
        request = _filled(MACHINE["States"][name]["Parameters"], plan)
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", request["TrainingJobName"])
        assert all(len(key) <= 256 and len(value) <= 2500 for key, value in request["HyperParameters"].items())
        channels = [channel["ChannelName"] for channel in request["InputDataConfig"]]
        assert set(channels) <= set(contract.CHANNELS) | {"evaluation"} and len(channels) == len(set(channels))


def _filled(template: Any, plan: dict[str, Any]) -> Any:
    if not isinstance(template, dict):
        return template
    return {
        name.removesuffix(".$"): _at(plan, value) if name.endswith(".$") else _filled(value, plan)
        for name, value in template.items()
    }


def test_each_container_gets_the_channels_that_it_asks_for(pipeline: Pipeline, job: Job) -> None:
    plan = pipeline.plan(ACME, job.id, 1)
    described: dict[str, Any] = {}
    for path in (Path(manifest.__file__).parents[1]).glob("*/strategy.json"):
        described |= json.loads(path.read_text())["strategies"]
    for stage in ("train", "evaluate", "gguf"):
        name = json.loads(plan[stage]["hyperparameters"][contract.STRATEGY])
        given = {channel["ChannelName"] for channel in plan[stage]["channels"]}
        wanted = described[name].get("channels", {})
        assert set(wanted.get("required", [])) <= given, stage
        assert given <= {*wanted.get("required", []), *wanted.get("optional", [])}, stage


def test_a_container_reads_the_hyperparameters_that_the_plan_wrote(
    tmp_path: Path, pipeline: Pipeline, job: Job
) -> None:
    plan = pipeline.plan(ACME, job.id, 1)
    path = tmp_path / contract.HYPERPARAMETERS
    path.parent.mkdir(parents=True)
    for stage in ("train", "evaluate", "gguf"):
        path.write_text(json.dumps(plan[stage]["hyperparameters"]))
        read = ContainerJob(tmp_path).hyperparameters
        strategy = strategies()[read.pop(contract.STRATEGY)]
        assert read == strategy.settle({name: value for name, value in read.items() if name in job.hyperparameters})


def test_names_are_read_back_from_the_log_and_differ_by_attempt(pipeline: Pipeline, job: Job) -> None:
    first = pipeline.plan(ACME, job.id, 1)
    second = pipeline.stages(ACME, Job(**{**vars(job), "attempt": 2}))
    for stage in ("train", "evaluate", "gguf"):
        assert of_job_name(PREFIX, first[stage]["name"]) == (job.id, 1, stage)
        assert first[stage]["name"] != second[stage]["name"]
        assert first[stage]["checkpoint_path"] == second[stage]["checkpoint_path"], "an attempt goes on where one died"


def test_each_step_is_called_with_what_its_handler_reads() -> None:
    payloads = {
        name: set(state["Parameters"]["Payload"])
        for name, state in MACHINE["States"].items()
        if state.get("Resource", "").endswith("lambda:invoke")
    }
    who = {"tenant.$", "job_id.$", "attempt.$"}
    assert all(who <= keys for keys in payloads.values())
    assert {name: keys - who for name, keys in payloads.items() if keys - who} == {
        "Gate": {"subject"},
        "GateGguf": {"subject"},
        "Deploy": {"action"},
        "CheckDeployment": {"action"},
        "ConcludeCompleted": {"outcome"},
        "ConcludeRefused": {"outcome"},
        "ConcludeFailed": {"outcome", "error.$"},
    }
