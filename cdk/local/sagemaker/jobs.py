"""Training jobs: the life of one, and the operations on them.

InProgress (Starting, Pending, Downloading, Training, Uploading) -> Completed | Failed | Stopped; every step is in the
record at once, so a restart knows what was under way and ends it as Failed.
Source of the shapes and words: the SageMaker API reference, CreateTrainingJob and DescribeTrainingJob.
"""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

from ..settings import ACCOUNT, Twin
from . import container
from .errors import in_use, invalid, not_found
from .request import REASON_CHARS, check
from .run import RESTARTED, TrainingRun
from .store import Record, Store

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
    "Interrupted": "Training job interrupted: its managed spot machine was taken away",
    "Restarting": "Restarting the training job on another managed spot machine",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}


class Jobs:
    """All training jobs of a twin."""

    def __init__(self, twin: Twin, s3: Any, logs: Any) -> None:
        self.twin = twin
        self.s3 = s3
        self.logs = logs
        self.store = Store(twin.state / "sagemaker/jobs")
        self.slots = threading.Semaphore(twin.slots)
        self._runs: dict[str, TrainingRun] = {}
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
        check(request)
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
        run = TrainingRun(self, name, image)
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

    def interrupt(self, request: Record) -> Record:
        """Not AWS's: take the machine away from a running job, as AWS does with spot machines."""
        name = self._existing(request)["TrainingJobName"]
        with self._lock:
            run = self._runs.get(name)
        if run is None:
            raise invalid(f"{name} does not run.")
        run.interrupt()
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


def _transition(status: str, now: float) -> Record:
    return {"Status": status, "StartTime": now, "StatusMessage": MESSAGES[status]}


def _wanted(record: Record, request: Record) -> bool:
    status, part = request.get("StatusEquals"), request.get("NameContains", "")
    after, before = request.get("CreationTimeAfter"), request.get("CreationTimeBefore")
    return (
        (status is None or record["TrainingJobStatus"] == status)
        and part in record["TrainingJobName"]
        and (after is None or record["CreationTime"] > after)
        and (before is None or record["CreationTime"] < before)
    )
