"""A container as a SageMaker training job, by hand, with a folder of this machine. AWS: SageMaker, S3, CloudWatch Logs.

The pipeline's own trainings go through the state machine; this is for a person who wants one container there. Without
network, the result stored uncompressed and encrypted where a key is named.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import aws, contract
from ..errors import InvalidInput, MillraceError
from ..instances import check
from . import Run

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
POLL_S = 5.0
ENDED = ("Completed", "Failed", "Stopped")
KILLED = 137


@dataclass
class Remote:
    """A training job at AWS."""

    executor: SageMaker
    run: Run
    poll_s: float
    _told: dict[str, str] = field(default_factory=dict)
    """Log stream -> where its reading goes on."""

    def lines(self) -> Iterator[str]:
        while True:
            over = self._job()["TrainingJobStatus"] in ENDED
            yield from self._new_lines()
            if over:
                return
            time.sleep(self.poll_s)

    def wait(self, timeout_s: float | None = None) -> int | None:
        until = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
        while (job := self._job())["TrainingJobStatus"] not in ENDED:
            if time.monotonic() >= until:
                return None
            time.sleep(min(self.poll_s, max(0.0, until - time.monotonic())))
        return self._concluded(job)

    def stop(self, grace_s: float) -> None:
        self.kill()

    def kill(self) -> None:
        """SageMaker gives every container 120 s; it is stopped there, whoever waits here."""
        try:
            with aws.mapped(f"Stopping the training job {self.run.name}"):
                self.executor.sagemaker.stop_training_job(TrainingJobName=self.run.name)
        except MillraceError:
            if not self._over():
                raise

    def _over(self) -> bool:
        """Whether it ends already, or never was."""
        try:
            return self._job()["TrainingJobStatus"] in (*ENDED, "Stopping")
        except self.executor.sagemaker.exceptions.ClientError as error:
            return "not found" in str(error)

    def _job(self) -> dict[str, Any]:
        found: dict[str, Any] = self.executor.sagemaker.describe_training_job(TrainingJobName=self.run.name)
        return found

    def _concluded(self, job: dict[str, Any]) -> int:
        if job["TrainingJobStatus"] == "Completed":
            self.executor.fetch(self.run)
            return 0
        reason = job.get("FailureReason") or f"SageMaker ended the job as {job['SecondaryStatus']}."
        failure = self.run.root / contract.FAILURE
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(reason.removeprefix("AlgorithmError: ").rsplit(", exit code", 1)[0])
        return KILLED if job["TrainingJobStatus"] == "Stopped" else 1

    def _new_lines(self) -> Iterator[str]:
        logs = self.executor.logs
        try:
            streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self.run.name}/")
        except logs.exceptions.ResourceNotFoundException:
            return
        for stream in streams["logStreams"]:
            name = stream["logStreamName"]
            after = {"nextToken": self._told[name]} if name in self._told else {}
            page = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=name, startFromHead=True, **after)
            self._told[name] = page["nextForwardToken"]
            yield from (event["message"] + "\n" for event in page["events"])


@dataclass(frozen=True)
class SageMaker:
    """`place`: s3://bucket/prefix for inputs and results. Clients are boto3's."""

    role: str
    place: str
    sagemaker: Any
    s3: Any
    logs: Any
    key: str = ""
    """Of KMS."""
    image: str = ""
    poll_s: float = POLL_S

    def start(self, run: Run) -> Remote:
        check(run.container, vars(run.needs), run.needs.instance_type)
        if not (run.image or self.image):
            raise InvalidInput("SageMaker runs images: name one, of a registry that it can read.")
        channels = self._upload(run)
        self.sagemaker.create_training_job(**self.request(run, channels))
        return Remote(self, run, self.poll_s)

    def request(self, run: Run, channels: list[str]) -> dict[str, Any]:
        values = json.loads((run.root / contract.HYPERPARAMETERS).read_text())
        encrypted = {"KmsKeyId": self.key} if self.key else {}
        return {
            "TrainingJobName": run.name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": run.image or self.image, "TrainingInputMode": "File"},
            "HyperParameters": values,
            "InputDataConfig": [_channel(name, f"{self._uri(run)}/input/{name}/") for name in channels],
            "OutputDataConfig": {"S3OutputPath": f"{self._uri(run)}/", "CompressionType": "NONE", **encrypted},
            "CheckpointConfig": {"S3Uri": f"{self._uri(run)}/checkpoints/"},
            "ResourceConfig": {
                "InstanceCount": 1,
                "InstanceType": run.needs.instance_type,
                "VolumeSizeInGB": max(1, run.needs.disk_gb),
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": run.needs.max_runtime_s},
            "EnableNetworkIsolation": run.isolated,
            "Environment": dict(run.env),
        }

    def _uri(self, run: Run) -> str:
        return f"{self.place.rstrip('/')}/{run.name}"

    def _bucket(self, run: Run) -> tuple[str, str]:
        bucket, _, prefix = self._uri(run).removeprefix("s3://").partition("/")
        return bucket, prefix

    def _upload(self, run: Run) -> list[str]:
        """Every file below input/data; the names of the channels."""
        bucket, prefix = self._bucket(run)
        data = run.root / contract.DATA
        for path in sorted(p for p in data.rglob("*") if p.is_file()):
            self.s3.upload_file(str(path), bucket, f"{prefix}/input/{path.relative_to(data).as_posix()}")
        return sorted(folder.name for folder in data.iterdir() if folder.is_dir())

    def fetch(self, run: Run) -> None:
        """The result, into the run's own model folder."""
        bucket, prefix = self._bucket(run)
        model, start = run.root / contract.MODEL, f"{prefix}/{run.name}/output/model/"
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
            for found in page.get("Contents", []):
                target = _inside(model, found["Key"].removeprefix(start))
                target.parent.mkdir(parents=True, exist_ok=True)
                self.s3.download_file(bucket, found["Key"], str(target))


def _inside(folder: Path, name: str) -> Path:
    target = (folder / name).resolve()
    if folder.resolve() not in target.parents:
        raise InvalidInput(f"{name!r} would leave {folder}.")
    return target


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
