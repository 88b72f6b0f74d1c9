"""Training jobs: the life of one, and the operations on them.

InProgress (Starting, Pending, Downloading, Training, Uploading) -> Completed | Failed | Stopped; every step is in the
record at once, so a restart knows what was under way and ends it as Failed.
Source of the shapes and words: the SageMaker API reference, CreateTrainingJob and DescribeTrainingJob.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from ..settings import ACCOUNT, Twin
from . import container, objects
from .container import Container
from .errors import AwsError, in_use, invalid, not_found
from .logs import LogStream
from .store import Record, Store

NAME = re.compile(r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
RESTARTED = "InternalServerError: The twin was restarted while this job ran."
REASON_CHARS = 1024
MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class _Failure(Exception):
    """The job ends as Failed with this reason."""


class Jobs:
    """All training jobs of a twin."""

    def __init__(self, twin: Twin, s3: Any, logs: Any) -> None:
        self.twin = twin
        self.s3 = s3
        self.logs = logs
        self.store = Store(twin.state / "sagemaker/jobs")
        self.slots = threading.Semaphore(twin.slots)
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()
        self.abandon()

    def abandon(self) -> None:
        """End what nobody waits for any more: the execution that started it is gone with the engine."""
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.abandoned.set()
            run.stop()
        for record in self.store.all():
            if (
                record["TrainingJobStatus"] in ("InProgress", "Stopping")
                and record["TrainingJobName"] not in self._runs
            ):
                self._end(record["TrainingJobName"], "Failed", "Failed", RESTARTED)
                shutil.rmtree(self.folder(record["TrainingJobName"]), ignore_errors=True)

    def folder(self, name: str) -> Path:
        return self.twin.state / "jobs" / name

    # --- operations -------------------------------------------------------------------------------------------------
    def create(self, request: Record) -> Record:
        name = str(request.get("TrainingJobName", ""))
        _check(request)
        image = container.name_of(self.twin, request["AlgorithmSpecification"]["TrainingImage"])
        arn = f"arn:aws:sagemaker:{self.twin.region}:{ACCOUNT}:training-job/{name}"
        now = time.time()
        record = {
            **request,
            "TrainingJobArn": arn,
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [_transition("Starting", now)],
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if not self.store.add(name, record):
            raise in_use(f"Job name must be unique within an AWS account and region, and {arn} already exists")
        run = _Run(self, name, image)
        with self._lock:
            self._runs[name] = run
        run.start()
        return {"TrainingJobArn": arn}

    def describe(self, request: Record) -> Record:
        return self._existing(request)

    def stop(self, request: Record) -> Record:
        record = self._existing(request)
        if record["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            raise invalid(
                "The request was rejected because the training job is in status " + record["TrainingJobStatus"]
            )
        with self._lock:
            run = self._runs.get(record["TrainingJobName"])
        if run is not None:
            run.stop()
        return {}

    def list(self, request: Record) -> Record:
        records = sorted(self.store.all(), key=lambda r: (r["CreationTime"], r["TrainingJobName"]), reverse=True)
        wanted = [r for r in records if _wanted(r, request)]
        start, limit = int(request.get("NextToken") or 0), int(request.get("MaxResults") or 10)
        fields = (
            "TrainingJobName",
            "TrainingJobArn",
            "CreationTime",
            "TrainingEndTime",
            "LastModifiedTime",
            "TrainingJobStatus",
            "SecondaryStatus",
        )
        page = [{f: r[f] for f in fields if f in r} for r in wanted[start : start + limit]]
        more = {"NextToken": str(start + limit)} if start + limit < len(wanted) else {}
        return {"TrainingJobSummaries": page, **more}

    def shut_down(self) -> None:
        """Kill every container now; `abandon` of the next start says what became of them."""
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.kill()

    # --- records ----------------------------------------------------------------------------------------------------
    def move(self, name: str, secondary: str, **changes: Any) -> None:
        with self.store.lock:
            record = self.store.get(name) or {}
            now = time.time()
            transitions = record["SecondaryStatusTransitions"]
            transitions[-1].setdefault("EndTime", now)
            transitions.append(_transition(secondary, now))
            self.store.update(
                name,
                SecondaryStatus=secondary,
                SecondaryStatusTransitions=transitions,
                LastModifiedTime=now,
                **changes,
            )

    def _end(self, name: str, status: str, secondary: str, reason: str | None = None) -> None:
        record = self.store.get(name) or {}
        now = time.time()
        started = record.get("TrainingStartTime", now)
        more = {"FailureReason": reason[:REASON_CHARS]} if reason else {}
        seconds = max(1, round(now - started))
        self.move(
            name,
            secondary,
            TrainingJobStatus=status,
            TrainingEndTime=now,
            TrainingTimeInSeconds=seconds,
            BillableTimeInSeconds=seconds,
            **more,
        )

    def ended(self, name: str, status: str, secondary: str, reason: str | None = None) -> None:
        self._end(name, status, secondary, reason)
        with self._lock:
            self._runs.pop(name, None)

    def _existing(self, request: Record) -> Record:
        record = self.store.get(str(request.get("TrainingJobName", "")))
        if record is None:
            raise not_found("Requested resource not found.")
        return record


class _Run(threading.Thread):
    """One job from Starting to its end."""

    def __init__(self, jobs: Jobs, name: str, image: str) -> None:
        super().__init__(daemon=True, name=f"job-{name}")
        self.jobs = jobs
        self.job_name = name
        self.image = image
        self.abandoned = threading.Event()
        self._stopping = threading.Event()
        self._container: Container | None = None
        self._metrics: dict[str, float] = {}

    @property
    def root(self) -> Path:
        return self.jobs.folder(self.job_name)

    def stop(self) -> None:
        with self.jobs.store.lock:
            record = self.jobs.store.get(self.job_name) or {}
            if record.get("TrainingJobStatus") == "InProgress" and not self._stopping.is_set():
                self.jobs.move(self.job_name, "Stopping", TrainingJobStatus="Stopping")
        self._stopping.set()

    def kill(self) -> None:
        self.abandoned.set()
        self._stopping.set()
        if self._container is not None:
            self._container.kill()

    def run(self) -> None:
        request = self.jobs.store.get(self.job_name) or {}
        try:
            status, secondary, reason = self._wait_for_slot_and_work(request)
        except _Failure as failure:
            status, secondary, reason = "Failed", "Failed", str(failure)
        except AwsError as error:
            status, secondary, reason = "Failed", "Failed", f"ClientError: {error}"
        except Exception as error:  # the border of the thread: a job never hangs InProgress
            status, secondary, reason = "Failed", "Failed", f"InternalServerError: {type(error).__name__}: {error}"
        if self.abandoned.is_set():
            status, secondary, reason = "Failed", "Failed", RESTARTED
        shutil.rmtree(self.root, ignore_errors=True)
        self.jobs.ended(self.job_name, status, secondary, reason)

    def _wait_for_slot_and_work(self, request: Record) -> tuple[str, str, str | None]:
        if not self.jobs.slots.acquire(blocking=False):
            self._move("Pending")
            while not self.jobs.slots.acquire(timeout=0.1):
                if self._stopping.is_set():
                    return "Stopped", "Stopped", None
        try:
            return self._work(request)
        finally:
            self.jobs.slots.release()

    def _work(self, request: Record) -> tuple[str, str, str | None]:
        shutil.rmtree(self.root, ignore_errors=True)
        self._move("Downloading")
        self._prepare(request)
        if self._stopping.is_set():
            return "Stopped", "Stopped", None
        self._move("Training", TrainingStartTime=time.time())
        code, cut = self._train(request)
        if self.abandoned.is_set():
            return "Failed", "Failed", RESTARTED
        stopped = cut or ("Stopped" if self._stopping.is_set() else "")
        if code == 0 or stopped:
            if not stopped:
                self._move("Uploading")
            self._upload(request)
            return ("Stopped", stopped, None) if stopped else ("Completed", "Completed", None)
        raise _Failure(self._sentence(code))

    def _move(self, secondary: str, **changes: Any) -> None:
        with self.jobs.store.lock:
            if not self._stopping.is_set():
                self.jobs.move(self.job_name, secondary, **changes)

    # --- before -----------------------------------------------------------------------------------------------------
    def _prepare(self, request: Record) -> None:
        config = self.root / "input/config"
        for folder in (config, self.root / "output/data", self.root / "model", self.root / "checkpoints"):
            folder.mkdir(parents=True, exist_ok=True)
        channels = {c["ChannelName"]: c for c in request.get("InputDataConfig", [])}
        (config / "hyperparameters.json").write_text(json.dumps(request.get("HyperParameters", {})))
        (config / "inputdataconfig.json").write_text(json.dumps(channels))
        (config / "resourceconfig.json").write_text(json.dumps(_resources(request)))
        for name, channel in channels.items():
            folder = self.root / "input/data" / name
            folder.mkdir(parents=True, exist_ok=True)
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            if objects.download(self.jobs.s3, uri, folder) == 0:
                raise _Failure(f"ClientError: No S3 objects found under S3 URL {uri!r} given in input data source.")
        if uri := request.get("CheckpointConfig", {}).get("S3Uri"):
            objects.download(self.jobs.s3, uri.rstrip("/") + "/", self.root / "checkpoints")

    # --- during -----------------------------------------------------------------------------------------------------
    def _train(self, request: Record) -> tuple[int, str]:
        """(exit status, "" or the secondary status of a job that was cut short)."""
        twin = self.jobs.twin
        log = LogStream(self.jobs.logs, LOG_GROUP, f"{self.job_name}/algo-1-{int(time.time())}")
        env = {**request.get("Environment", {})}
        env |= {"TRAINING_JOB_NAME": self.job_name, "TRAINING_JOB_ARN": request["TrainingJobArn"]}
        isolated = bool(request.get("EnableNetworkIsolation"))
        self._container = container.start(twin, self.image, "train", self.root, env, isolated=isolated)
        reader = threading.Thread(target=self._read, args=(self._container, log, request), daemon=True)
        reader.start()
        try:
            return self._watch(self._container, request)
        finally:
            self._container.kill()
            reader.join(timeout=5)
            log.close()
            self._note_metrics()

    def _watch(self, running: Container, request: Record) -> tuple[int, str]:
        limit_s = float(request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400))
        uri = request.get("CheckpointConfig", {}).get("S3Uri")
        mirror = objects.Mirror(self.jobs.s3, self.root / "checkpoints", uri) if uri else None
        began = saved = time.monotonic()
        cut = ""
        while (code := running.wait(0.1)) is None:
            now = time.monotonic()
            if now - began > limit_s:
                cut = "MaxRuntimeExceeded"
            if cut or self._stopping.is_set():
                running.stop(0.0 if self.abandoned.is_set() else self.jobs.twin.stop_grace_s)
                code = -1
                break
            if mirror and now - saved > self.jobs.twin.checkpoint_s:
                mirror.push()
                saved = now
        if mirror:
            mirror.push()
        return code, cut

    def _read(self, running: Container, log: LogStream, request: Record) -> None:
        wanted = [
            (d["Name"], re.compile(d["Regex"])) for d in request["AlgorithmSpecification"].get("MetricDefinitions", [])
        ]
        with running.output as lines:
            for line in lines:
                log.write(line)
                for name, pattern in wanted:
                    if found := pattern.search(line):
                        self._metrics[name] = float(found.group(1))

    def _note_metrics(self) -> None:
        now = time.time()
        metrics = [{"MetricName": name, "Value": value, "Timestamp": now} for name, value in self._metrics.items()]
        if metrics:
            self.jobs.store.update(self.job_name, FinalMetricDataList=metrics)

    # --- after ------------------------------------------------------------------------------------------------------
    def _upload(self, request: Record) -> None:
        output = request["OutputDataConfig"]
        base = f"{output['S3OutputPath'].rstrip('/')}/{self.job_name}/output"
        model, data = self.root / "model", self.root / "output/data"
        if output.get("CompressionType") == "NONE":
            artifacts = f"{base}/model/"
            objects.upload(self.jobs.s3, model, artifacts)
            objects.upload(self.jobs.s3, data, f"{base}/data/")
        else:
            artifacts = f"{base}/model.tar.gz"
            objects.upload_archive(self.jobs.s3, model, artifacts)
            if any(data.iterdir()):
                objects.upload_archive(self.jobs.s3, data, f"{base}/output.tar.gz")
        self.jobs.store.update(self.job_name, ModelArtifacts={"S3ModelArtifacts": artifacts})

    def _sentence(self, code: int) -> str:
        failure = self.root / "output/failure"
        said = failure.read_text(errors="replace").strip() if failure.is_file() else ""
        return f"AlgorithmError: {said[: REASON_CHARS - 60]}, exit code: {code}"


def _transition(status: str, now: float) -> Record:
    return {"Status": status, "StartTime": now, "StatusMessage": MESSAGES[status]}


def _resources(request: Record) -> Record:
    kind = request["ResourceConfig"].get("InstanceType", "ml.local")
    group = {"instance_group_name": "homogeneousCluster", "instance_type": kind, "hosts": ["algo-1"]}
    return {
        "current_host": "algo-1",
        "current_instance_type": kind,
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [group],
        "network_interface_name": "lo",
    }


REQUIRED = ("AlgorithmSpecification", "RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")


def _check(request: Record) -> None:
    """What SageMaker refuses before a job exists."""
    missing = [field for field in ("TrainingJobName", *REQUIRED) if not request.get(field)]
    if missing:
        raise invalid(f"{len(missing)} validation errors detected: missing {', '.join(missing)}.")
    if not NAME.match(request["TrainingJobName"]):
        raise invalid(f"TrainingJobName {request['TrainingJobName']!r} fails to satisfy {NAME.pattern}.")
    if not request["AlgorithmSpecification"].get("TrainingImage"):
        raise invalid("AlgorithmSpecification needs a TrainingImage.")
    if not re.match(r"^arn:aws[a-z-]*:iam::\d{12}:role/", request["RoleArn"]):
        raise invalid(f"RoleArn {request['RoleArn']!r} is not a role's ARN.")
    odd = [k for k, v in request.get("HyperParameters", {}).items() if not isinstance(v, str) or len(v) > 2500]
    if odd:
        raise invalid(f"HyperParameters are text of at most 2,500 characters; not so: {', '.join(odd)}.")
    objects.split(request["OutputDataConfig"].get("S3OutputPath", ""))
    for channel in request.get("InputDataConfig", []):
        objects.split(channel.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""))


def _wanted(record: Record, request: Record) -> bool:
    status, part = request.get("StatusEquals"), request.get("NameContains", "")
    after, before = request.get("CreationTimeAfter"), request.get("CreationTimeBefore")
    return (
        (status is None or record["TrainingJobStatus"] == status)
        and part in record["TrainingJobName"]
        and (after is None or record["CreationTime"] > after)
        and (before is None or record["CreationTime"] < before)
    )
