"""The life of a training job. AWS: DynamoDB, Step Functions, SageMaker (to stop what runs).

A job is an item; while it is not settled a second item under `@system#active-job` says so, so that a sweeper finds
every job that nobody works on, and every one that ended and left something behind. One attempt is one execution of
the state machine, named `<job>-<attempt>`: starting it again is harmless. Every write of an attempt is conditioned
on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson
from botocore.exceptions import ClientError

from . import aws
from .clock import fresh_id, stamp
from .contract import JobState, ModelState
from .errors import Conflict, MillraceError, NotFound, Throttled, Unavailable
from .models import may_become as model_may_become
from .table import Item, Table, Write
from .tenants import Kind, Tenant, system_pk

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_stepfunctions import SFNClient

MAX_ATTEMPTS = 3
_TRIES = 5
STAGES = ("train", "evaluate", "gguf")

LEGAL: dict[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset(
        {JobState.QUEUED, JobState.RUNNING, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}),
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
"""QUEUED or RUNNING -> QUEUED is a new attempt after a crash."""


def may_become(state: JobState) -> tuple[str, ...]:
    """The states from which a job may move to `state`."""
    return tuple(str(before) for before, after in LEGAL.items() if state in after)


@dataclass(frozen=True)
class Job:
    id: str
    state: JobState
    strategy: str
    attempt: int
    snapshot_id: str
    model_name: str
    created_at: str
    started_by: str
    """`policy`, or `person`."""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    max_runtime_s: int | None = None
    """Of each container; None: what its strategy says."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    gates: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    model_id: str | None = None
    updated_at: str | None = None

    @classmethod
    def from_item(cls, item: Item) -> Job:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**known, "state": JobState(item["state"])})

    def shown(self) -> dict[str, Any]:
        """As the API tells it."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"state": str(self.state)}


def job_name(job_id: str, attempt: int, stage: str) -> str:
    """Name of a stage's training job: unique per attempt, at most 63 characters."""
    return f"{job_id}-{attempt}-{stage}"


def of_job_name(name: str) -> tuple[str, int, str] | None:
    """Job id, attempt and stage in a training job's name; None where the name is not one of ours."""
    parts = name.split("-")
    if len(parts) != 3 or parts[2] not in STAGES or not parts[1].isdigit():
        return None
    return parts[0], int(parts[1]), parts[2]


@dataclass(frozen=True)
class Jobs:
    table: Table
    machine: str
    """ARN of the state machine `train`."""
    stepfunctions: SFNClient
    sagemaker: SageMakerClient

    def get(self, tenant: Tenant, id: str) -> Job:
        item = self.table.get(tenant.pk(Kind.JOB, id), "body")
        if item is None:
            raise NotFound(f"There is no training job {id}.")
        return Job.from_item(item)

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Job], str | None]:
        items, following = self.table.page(tenant.pk(Kind.JOB), limit, cursor)
        return [Job.from_item(item) for item in items], following

    def create(self, tenant: Tenant, job: Job, claim: Write | None = None) -> bool:
        """Record a job, with the claim on the data that started it. False where somebody else was first."""
        body = job.shown() | {"list_pk": tenant.pk(Kind.JOB), "list_sk": f"{job.created_at}#{job.id}"}
        active = {"job_id": job.id, "tenant": tenant.id, "tier": str(tenant.tier), "created_at": job.created_at}
        writes = [
            Write("put", tenant.pk(Kind.JOB, job.id), "body", body, new=True),
            Write("put", system_pk(Kind.ACTIVE_JOB), job.id, active, new=True),
        ]
        try:
            self.table.transact(writes + ([claim] if claim else []), op=fresh_id("create-"))
        except Conflict:
            return False
        return True

    def start(self, tenant: Tenant, job_id: str, attempt: int) -> None:
        """Start the attempt's execution; a repeat changes nothing."""
        with aws.mapped("Starting the training"):
            try:
                self.stepfunctions.start_execution(
                    stateMachineArn=self.machine,
                    name=f"{job_id}-{attempt}",
                    input=orjson.dumps({"tenant": tenant.id, "job_id": job_id, "attempt": attempt}).decode(),
                )
            except self.stepfunctions.exceptions.ExecutionAlreadyExists:
                return
        try:
            self.move(tenant, job_id, JobState.QUEUED, attempt, expect=(JobState.PENDING,))
        except Conflict:
            return  # the execution was quicker: the job runs already

    def move(
        self,
        tenant: Tenant,
        job_id: str,
        state: JobState,
        attempt: int,
        values: Mapping[str, Any] | None = None,
        expect: tuple[JobState, ...] | None = None,
    ) -> Job:
        """A legal move of this attempt; Conflict where the job has moved on. Any end but the best wants `settle`."""
        before = tuple(map(str, expect)) if expect else may_become(state)
        if not before:
            raise Conflict(f"No training job becomes {state}: they begin so.")
        update = Write(
            "update",
            tenant.pk(Kind.JOB, job_id),
            "body",
            {"state": str(state), "updated_at": stamp(), **(values or {})},
            expect={"state": before, "attempt": attempt},
        )
        writes = [update, *([self._inactive(job_id)] if state is JobState.COMPLETED else [])]
        self.table.transact(writes, op=fresh_id(f"{state}-"))
        return self.get(tenant, job_id)

    def note(self, tenant: Tenant, job_id: str, attempt: int, values: Mapping[str, Any]) -> None:
        """Put figures on a running attempt. Late ones, of an attempt that is over, are dropped."""
        expect = {"attempt": attempt, "state": (str(JobState.QUEUED), str(JobState.RUNNING), str(JobState.PENDING))}
        write = Write("update", tenant.pk(Kind.JOB, job_id), "body", {**values, "updated_at": stamp()}, expect=expect)
        try:
            self.table.update(write, op=fresh_id("note-"))
        except Conflict:
            return

    def cancel(self, tenant: Tenant, job_id: str) -> Job:
        """End a job now: first the state, so that nothing concludes it otherwise, then the real work."""
        job = self._cancelled(tenant, job_id)
        try:
            self.settle(tenant, job)
        except Unavailable:
            return job  # it is cancelled, and the sweeper finds what still runs
        return job

    def _cancelled(self, tenant: Tenant, job_id: str) -> Job:
        for _ in range(_TRIES):
            job = self.get(tenant, job_id)
            if job.state is JobState.CANCELLED:
                return job
            if job.state.final:
                break
            try:
                return self.move(tenant, job_id, JobState.CANCELLED, job.attempt, {"error": "Cancelled by request."})
            except Conflict:
                continue  # it moved on meanwhile: to its end, or to its next attempt
        raise Conflict(f"Training job {job_id} is {job.state} already.")

    def settle(self, tenant: Tenant, job: Job) -> None:
        """After an end: stop what still works, fail the version that it leaves, clear `active`. May be repeated."""
        if job.state is JobState.CANCELLED:
            self.stop_work(job.id, job.attempt)
        if job.state is not JobState.COMPLETED and job.model_id:
            self._fail_version(tenant, job.model_id, job.error)
        self.table.transact([self._inactive(job.id)], op=fresh_id("settle-"))

    def _fail_version(self, tenant: Tenant, model_id: str, error: str | None) -> None:
        """One that serves already goes on serving."""
        before = set(model_may_become(ModelState.FAILED)) - {str(ModelState.ACTIVE)}
        values = {"state": str(ModelState.FAILED), "error": error, "updated_at": stamp()}
        expect = {"state": tuple(sorted(before))}
        write = Write("update", tenant.pk(Kind.MODEL, model_id), "body", values, expect=expect)
        try:
            self.table.update(write, op=fresh_id("failed-"))
        except Conflict:
            return

    @staticmethod
    def _inactive(job_id: str) -> Write:
        return Write("delete", system_pk(Kind.ACTIVE_JOB), job_id)

    def stop_work(self, job_id: str, attempt: int) -> None:
        """Stop the attempt's execution and whatever container it left running."""
        _ignoring_absence(self.stepfunctions.stop_execution, executionArn=self.execution_arn(job_id, attempt))
        for stage in STAGES:
            _ignoring_absence(self.sagemaker.stop_training_job, TrainingJobName=job_name(job_id, attempt, stage))

    def execution_arn(self, job_id: str, attempt: int) -> str:
        return self.machine.replace(":stateMachine:", ":execution:") + f":{job_id}-{attempt}"

    def execution_status(self, job_id: str, attempt: int) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED; None where it was never started."""
        try:
            with aws.mapped("Asking for the execution"):
                return str(
                    self.stepfunctions.describe_execution(executionArn=self.execution_arn(job_id, attempt))["status"]
                )
        except NotFound:
            return None

    def active(self) -> list[Item]:
        """Every job of every tenant that is not settled: job_id, tenant, tier, created_at."""
        return self.table.query(system_pk(Kind.ACTIVE_JOB))

    def locate(self, job_id: str) -> Item | None:
        """Whose job this is, while it is not settled."""
        return self.table.get(system_pk(Kind.ACTIVE_JOB), job_id)

    def sweep_one(self, tenant: Tenant, job_id: str) -> Literal["left", "started", "restarted", "failed", "cleared"]:
        """Give a job what it lacks: a first start, a new attempt, its end, or what should have followed its end."""
        job = self.get(tenant, job_id)
        if job.state.final:
            self.settle(tenant, job)
            return "cleared"
        status = self.execution_status(job_id, job.attempt)
        if status == "RUNNING":
            return "left"
        if status is None:
            self.start(tenant, job_id, job.attempt)
            return "started"
        self.stop_work(job_id, job.attempt)
        if job.attempt >= MAX_ATTEMPTS:
            error = f"Given up after {job.attempt} attempts: the last execution ended as {status} without a result."
            self.settle(tenant, self.move(tenant, job_id, JobState.FAILED, job.attempt, {"error": error}))
            return "failed"
        self.move(tenant, job_id, JobState.QUEUED, job.attempt, {"attempt": job.attempt + 1, "progress": {}})
        self.start(tenant, job_id, job.attempt + 1)
        return "restarted"


def _ignoring_absence(call: Any, **arguments: Any) -> None:
    """Stopping what is not there, or is over, is a success."""
    try:
        with aws.mapped("Stopping"):
            call(**arguments)
    except (Throttled, Unavailable):
        raise
    except MillraceError as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError):
            raise
