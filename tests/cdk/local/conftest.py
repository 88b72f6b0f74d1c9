"""One twin for all of these tests: the real engine, real processes, free ports, a folder of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cdk.local.aws import client
from cdk.local.deploy import Assembly, deploy
from cdk.local.engine import save_now
from cdk.local.ports import free_port
from cdk.local.sagemaker.container import images_file
from cdk.local.settings import REPO, Twin
from cdk.local.twin import Running, ready_file

HERE = Path(__file__).parent
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/fake:fake"
ROLE = "arn:aws:iam::000000000000:role/containers"


def until(found: Callable[[], Any], what: str, within_s: float = 25.0) -> Any:
    """Poll until the answer is truthy; whoever waits has a deadline and a name for what it waits for."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {within_s} s")


def a_twin(home: Path) -> Twin:
    twin = Twin.from_env({"MILLRACE_HOME": str(home)})
    twin = replace(twin, api_port=free_port(), aws_port=free_port(), containers=HERE / "fake_images")
    twin = replace(
        twin, engine_python=REPO / ".millrace/engine/bin/python", stop_grace_s=1.0, checkpoint_s=0.3, slots=2
    )
    twin.state.mkdir(parents=True)
    images_file(twin).write_text(json.dumps({"fake": "fake"}))
    return twin


CACHE = REPO / ".millrace/test-assemblies"


def inputs_hash(*patterns: str) -> str:
    """Of every file that an assembly is made from."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in patterns for p in REPO.glob(pattern) if p.is_file()):
        digest.update(path.relative_to(REPO).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:24]


def synthesize(module: str, outdir: Path) -> subprocess.Popen[bytes]:
    """Node's kernel starts slowly and takes ten seconds of a processor, so it runs beside us."""
    code = (
        "import importlib, sys, pathlib; importlib.import_module(sys.argv[1]).synth('local', pathlib.Path(sys.argv[2]))"
    )
    paths = os.pathsep.join([str(REPO), str(REPO / "shared")])
    quiet = {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-c", code, module, str(outdir)]
    return subprocess.Popen(command, cwd=REPO, env={**os.environ, **quiet}, stderr=subprocess.DEVNULL)


@dataclass
class Aws:
    """The clients of one twin."""

    twin: Twin

    def __getattr__(self, service: str) -> Any:
        made = client(self.twin, service.rstrip("_").replace("_", "-"))
        setattr(self, service, made)
        return made


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small stack and the real one, synthesized side by side, anew only when their sources have changed."""
    part = tmp_path_factory.mktemp("assemblies")
    mine = "tests/cdk/local/small_"
    ours = ("cdk/*.py", "cdk.json", "requirements/*.txt", "shared/millrace/**/*.py", "functions/**/*")
    wanted = {
        "small": ("tests.cdk.local.small_stack", CACHE / inputs_hash(f"{mine}*.py", f"{mine}*/*.py", "cdk.json")),
        "real": ("cdk.app", CACHE / inputs_hash(*ours)),
    }
    missing = {name: target for name, (_, target) in wanted.items() if not target.is_dir()}
    running = {name: synthesize(wanted[name][0], part / name) for name in missing}
    assert {name: process.wait(200) for name, process in running.items()} == dict.fromkeys(missing, 0)
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, target in missing.items():
        with contextlib.suppress(OSError):  # another run was first
            shutil.copytree(part / name, target)
    made = sorted(CACHE.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in set(made[6:]) - {target for _, target in wanted.values()}:
        shutil.rmtree(old, ignore_errors=True)
    return {name: target for name, (_, target) in wanted.items()}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Engine, SageMaker and the API's address in this process."""
    held = Running(a_twin(tmp_path_factory.mktemp("twin") / "home"))
    held.start()
    threading.Thread(target=held.watch, daemon=True).start()  # never ends before the engine: it may be its parent
    yield held
    held.stop()


@pytest.fixture(scope="session")
def twin(running: Running) -> Twin:
    return running.twin


@pytest.fixture(scope="session")
def aws(twin: Twin) -> Aws:
    return Aws(twin)


@pytest.fixture(scope="session")
def deployed(running: Running, assemblies: dict[str, Path]) -> dict[str, str]:
    """Outputs of the small stack on the running twin."""
    outputs = deploy(running.twin, Assembly(assemblies["small"]))
    running.front.point_at(outputs["ApiId"], "mr_demo")
    return outputs


@pytest.fixture(scope="session")
def bucket(aws: Aws) -> str:
    aws.s3.create_bucket(Bucket="containers")
    save_now(aws.twin.aws_port)
    return "containers"


@dataclass
class Detached:
    """A twin in a process of its own, to be killed."""

    twin: Twin
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def detached(tmp_path: Path) -> Iterator[Callable[..., Detached]]:
    """Starts `python -m cdk.local serve`, again on the same folder where a twin is given."""
    started: list[Detached] = []

    def start(twin: Twin | None = None) -> Detached:
        twin = twin or a_twin(tmp_path / "home")
        ready_file(twin).unlink(missing_ok=True)
        twin.logs.mkdir(exist_ok=True)
        env = {**os.environ, **twin.to_env(), "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "shared")])}
        command = [sys.executable, "-m", "cdk.local", "serve"]
        with (twin.logs / "twin.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=REPO, env=env, stdout=log, stderr=log)
        started.append(Detached(twin, process))
        until(lambda: ready_file(twin).exists() or process.poll() is not None, "the twin")
        assert process.poll() is None, (twin.logs / "twin.log").read_text()
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(20)


def job_request(bucket: str, name: str, behave: str, **more: Any) -> dict[str, Any]:
    values = {"behave": behave, **more.pop("values", {})}
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {key: json.dumps(value) for key, value in values.items()},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out", "CompressionType": "NONE"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }


def ended(aws: Aws, name: str, within_s: float = 25.0) -> dict[str, Any]:
    """The job's description once it is over."""

    def over() -> Any:
        job = aws.sagemaker.describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    found: dict[str, Any] = until(over, f"the end of {name}", within_s)
    return found


def lines_of(aws: Aws, name: str) -> list[str]:
    """What a job has said in CloudWatch Logs."""
    group = "/aws/sagemaker/TrainingJobs"
    try:
        streams = aws.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    except aws.logs.exceptions.ResourceNotFoundException:
        return []
    lines = []
    for stream in streams:
        found = aws.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
        lines += [event["message"] for event in found["events"]]
    return lines


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
