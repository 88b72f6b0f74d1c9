"""One training job from Starting to its end: its folders, its container, its checkpoints, its result.

A spot machine that is taken away (SIGTERM, as AWS gives it) is followed by another that finds the checkpoints again,
until MaxWaitTimeInSeconds is over. Source: the SageMaker developer guide, "Managed Spot Training".
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from millrace.errors import MillraceError
from millrace.executors import Running

from ..settings import Twin
from . import container, objects
from .errors import AwsError
from .logs import LogStream
from .request import REASON_CHARS
from .store import Record, Store

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
RESTARTED = "InternalServerError: The twin was restarted while this job ran."
INTERRUPTED = "Interrupted"


class JobFailed(Exception):
    """The job ends as Failed with this reason."""


class Records(Protocol):
    """What a run needs of the jobs that it is one of."""

    twin: Twin
    s3: Any
    logs: Any
    store: Store
    slots: threading.Semaphore

    def folder(self, name: str) -> Path: ...

    def move(self, name: str, secondary: str, **changes: Any) -> None: ...

    def ended(self, name: str, status: str, secondary: str, reason: str | None = None) -> None: ...


class TrainingRun(threading.Thread):
    """One job from Starting to its end."""

    def __init__(self, jobs: Records, name: str, image: str) -> None:
        super().__init__(daemon=True, name=f"job-{name}")
        self.jobs = jobs
        self.job_name = name
        self.image = image
        self.abandoned = threading.Event()
        self._stopping = threading.Event()
        self._taken = threading.Event()
        self._container: Running | None = None
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

    def interrupt(self) -> None:
        """The spot machine is taken away."""
        self._taken.set()

    def kill(self) -> None:
        self.abandoned.set()
        self._stopping.set()
        if self._container is not None:
            self._container.kill()

    def run(self) -> None:
        request = self.jobs.store.get(self.job_name) or {}
        try:
            status, secondary, reason = self._wait_for_slot_and_work(request)
        except JobFailed as failure:
            status, secondary, reason = "Failed", "Failed", str(failure)
        except (AwsError, MillraceError) as error:
            status, secondary, reason = "Failed", "Failed", f"ClientError: {error}"
        except OSError as error:
            full = error.errno == errno.ENOSPC
            said = "ClientError: No space is left for the job's data." if full else f"InternalServerError: {error}"
            status, secondary, reason = "Failed", "Failed", said
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
        """The container's run; again from its checkpoints as often as a spot machine is taken away."""
        waits_s = request["StoppingCondition"].get("MaxWaitTimeInSeconds", 0)
        until = time.monotonic() + waits_s
        while True:
            code, cut = self._once(request)
            if cut != INTERRUPTED:
                return self._after(request, code, cut)
            if not request.get("EnableManagedSpotTraining"):
                raise JobFailed("InternalServerError: The machine was taken away.")
            self._move(INTERRUPTED)
            if time.monotonic() > until:
                return "Stopped", "MaxWaitTimeExceeded", None
            self._move("Restarting")

    def _once(self, request: Record) -> tuple[int, str]:
        shutil.rmtree(self.root, ignore_errors=True)
        self._move("Downloading")
        self._prepare(request)
        if self._stopping.is_set():
            return -1, "Stopped"
        self._move("Training", TrainingStartTime=time.time())
        return self._train(request)

    def _after(self, request: Record, code: int, cut: str) -> tuple[str, str, str | None]:
        if self.abandoned.is_set():
            return "Failed", "Failed", RESTARTED
        stopped = cut or ("Stopped" if self._stopping.is_set() else "")
        if code == 0 or stopped:
            if not stopped:
                self._move("Uploading")
            self._upload(request)
            return ("Stopped", stopped, None) if stopped else ("Completed", "Completed", None)
        raise JobFailed(self._sentence(code))

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
                raise JobFailed(f"ClientError: No S3 objects found under S3 URL {uri!r} given in input data source.")
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
        self._container = container.train(twin, self.job_name, self.image, self.root, env, isolated=isolated)
        reader = threading.Thread(target=self._read, args=(self._container, log, request), daemon=True)
        reader.start()
        try:
            return self._watch(self._container, request)
        finally:
            self._container.kill()
            reader.join(timeout=5)
            log.close()
            self._note_metrics()

    def _watch(self, running: Running, request: Record) -> tuple[int, str]:
        limit_s = float(request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400))
        uri = request.get("CheckpointConfig", {}).get("S3Uri")
        mirror = objects.Mirror(self.jobs.s3, self.root / "checkpoints", uri) if uri else None
        began = saved = time.monotonic()
        cut = ""
        while (code := running.wait(0.1)) is None:
            now = time.monotonic()
            if now - began > limit_s:
                cut = "MaxRuntimeExceeded"
            if self._taken.is_set():
                self._taken.clear()
                cut = INTERRUPTED
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

    def _read(self, running: Running, log: LogStream, request: Record) -> None:
        wanted = [
            (d["Name"], re.compile(d["Regex"])) for d in request["AlgorithmSpecification"].get("MetricDefinitions", [])
        ]
        for line in running.lines():
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
