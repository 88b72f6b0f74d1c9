"""The life of a training job. AWS: DynamoDB, Step Functions, SageMaker (to stop what runs).

A job is an item; while it is not settled a second item under `@system#active-job` says so, so that a sweeper finds
every job that nobody works on, and every one that ended and left something behind. One attempt is one execution of
the state machine, named `<job>-<attempt>`: starting it again is harmless. Every write of an attempt is conditioned
on it, and every attempt has an item of its own beside the job, its run. A job whose active item is `waiting` has not
had its turn (see admission); `@system#job-owner` says for ever whose job an id is, for log lines that come late.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

from . import aws
from .artifacts import Store
from .clock import fresh_id, now, stamp
from .contract import JobState, ModelState, Tier
from .errors import Conflict, Forbidden, MillraceError, NotFound
from .forecast import Forecast, spent_usd, within
from .models import may_become as model_may_become
from .table import Item, Table, Write
from .tenants import MAX_ID, Kind, Tenant, system_pk
from .training_budget import TrainingBudget

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_stepfunctions import SFNClient

MAX_ATTEMPTS = 3
"""How often an attempt that died without a word is begun again; see recovery for the ones that said why."""
LOST = "Lost"
"""Code of an attempt whose execution ended without a result."""
DEPLOYING = "deploying"
"""On a job's item: the attempt that began to touch an endpoint."""
_TRIES = 5
_STEP = re.compile(r"checkpoint-(\d{1,12})/")
"""Folder of a checkpoint, as the trainers of the containers name them."""
STAGES = ("train", "evaluate", "gguf")
_PART = re.compile(r"train|evaluate|gguf|trials\d{1,3}")
"""Of a container's name; `trials<n>` is round n of a search."""

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
    model_name: str
    created_at: str
    started_by: str
    """`policy`, or `person`."""
    snapshot_id: str | None = None
    dataset_id: str | None = None
    """Trained on a snapshot of pairs, or on a dataset of images."""
    base_model: str | None = None
    """What is fine-tuned, a folder below base/; None: the stage's own, until the first attempt has settled it."""
    priority: str = "normal"
    spot: bool = False
    """Cheaper machines that may be taken away; the training goes on from its last checkpoint."""
    instance_type: str | None = None
    """Of the training's container; None: what its strategy says."""
    max_cost_usd: float | None = None
    forecast: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Bounds of the gate that take the place of its own, by metric."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """What whoever asked wants to find again: the file of a fine-tuning, metadata."""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    max_runtime_s: int | None = None
    """Of each container; None: what its strategy says."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    gates: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_code: str | None = None
    recoveries: list[Mapping[str, Any]] = field(default_factory=list)
    """Why earlier attempts ended and what was changed for the next: attempt, code, text."""
    model_id: str | None = None
    round: int = 0
    """Of a search, the one that works or worked last."""
    updated_at: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Every container that an attempt may have started."""
        return tuple(f"trials{number}" for number in range(self.round + 1)) + STAGES[:1] if self.dataset_id else STAGES

    def lost(self) -> int:
        """Attempts that died without a word. Jobs of before `recoveries` died of nothing else."""
        return sum(r["code"] == LOST for r in self.recoveries) if self.recoveries else self.attempt - 1

    @classmethod
    def from_item(cls, item: Item) -> Job:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**known, "state": JobState(item["state"])})

    def shown(self) -> dict[str, Any]:
        """As the API tells it."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"state": str(self.state)}


def job_name(prefix: str, job_id: str, attempt: int, part: str) -> str:
    """Name of a container's run: unique per stage, job and attempt, at most 63 characters."""
    return f"{prefix}-{job_id}-{attempt}-{part}"


def of_job_name(prefix: str, name: str) -> tuple[str, int, str] | None:
    """Job id, attempt and part in a container's name; None where the name is not one of this stage's."""
    parts = name.removeprefix(f"{prefix}-").split("-")
    if (
        not name.startswith(f"{prefix}-")
        or len(parts) != 3
        or not _PART.fullmatch(parts[2])
        or not parts[1].isdecimal()
    ):
        return None
    return parts[0], int(parts[1]), parts[2]


def search_machine(train_machine: str) -> str:
    """ARN of the machine that searches, beside the one that trains."""
    return train_machine.removesuffix("-train") + "-search"


def run_key(attempt: int) -> str:
    """Sort key of an attempt's run, beside the job's `body`."""
    return f"attempt#{attempt:03}"


@dataclass(frozen=True)
class Jobs:
    table: Table
    prefix: str
    """millrace-<stage>: what every name of this stage begins with, so that two stages share an account."""
    machine: str
    """ARN of the state machine `train`; what trains on images goes through its sibling `search`."""
    stepfunctions: SFNClient
    sagemaker: SageMakerClient

    def get(self, tenant: Tenant, id: str) -> Job:
        return Job.from_item(self.item(tenant, id))

    def item(self, tenant: Tenant, id: str) -> Item:
        item = self.table.get(tenant.pk(Kind.JOB, id), "body")
        if item is None:
            raise NotFound(f"There is no training job {id}.")
        return item

    def checkpoints(self, store: Store, tenant: Tenant, id: str) -> list[tuple[int, int]]:
        """Steps that the training can be gone on from, and when they were kept (Unix seconds), the newest first."""
        folder = tenant.prefix("jobs", id, "checkpoints", "train") + "/"
        found: dict[int, int] = {}
        for key, at in store.keys(folder):
            if named := _STEP.match(key.removeprefix(folder)):
                found[int(named[1])] = max(at, found.get(int(named[1]), 0))
        return sorted(found.items(), reverse=True)

    def page(
        self, tenant: Tenant, limit: int, cursor: str | None, state: JobState | None = None
    ) -> tuple[list[Job], str | None]:
        """Newest first; of one state where one is named."""
        wanted = {"state": str(state)} if state else None
        items, following = self.table.page(tenant.pk(Kind.JOB), limit, cursor, wanted)
        return [Job.from_item(item) for item in items], following

    def runs(self, tenant: Tenant, job_id: str) -> list[Item]:
        """Every attempt of a job, the first one first: attempt, state, started_at, ended_at, error, progress."""
        self.get(tenant, job_id)
        return self.table.between(tenant.pk(Kind.JOB, job_id), "attempt#", "attempt#~")

    def create(self, tenant: Tenant, job: Job, claims: Sequence[Write] = ()) -> bool:
        """Record a job, with its claims on data and money. False where somebody else was first."""
        body = job.shown() | {"list_pk": tenant.pk(Kind.JOB), "list_sk": f"{job.created_at}#{job.id}"}
        owner = {"tenant": tenant.id, "tier": str(tenant.tier)}
        active = {"job_id": job.id, "created_at": job.created_at, "priority": job.priority, "waiting": True, **owner}
        run = {"attempt": 1, "state": str(job.state), "created_at": job.created_at}
        run |= {"hyperparameters": job.hyperparameters}
        writes = [
            Write("put", tenant.pk(Kind.JOB, job.id), "body", body, new=True),
            Write("put", tenant.pk(Kind.JOB, job.id), run_key(1), run),
            Write("put", system_pk(Kind.ACTIVE_JOB), job.id, active, new=True),
            Write("put", system_pk(Kind.JOB_OWNER, job.id), "body", owner),
        ]
        try:
            self.table.transact(writes + list(claims), op=fresh_id("create-"))
        except Conflict:
            return False
        return True

    def start(self, tenant: Tenant, job: Job) -> None:
        """Start the attempt's execution; a repeat changes nothing."""
        name, given = f"{job.id}-{job.attempt}", {"tenant": tenant.id, "job_id": job.id, "attempt": job.attempt}
        with aws.mapped("Starting the training"):
            try:
                self.stepfunctions.start_execution(
                    stateMachineArn=self.machine_of(job), name=name, input=orjson.dumps(given).decode()
                )
            except self.stepfunctions.exceptions.ExecutionAlreadyExists:
                return
        try:
            self.move(tenant, job.id, JobState.QUEUED, job.attempt, expect=(JobState.PENDING,))
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
        writes = [update, self._run(tenant, job_id, state, attempt, values or {})]
        if state is JobState.COMPLETED:
            writes.append(self._inactive(job_id))
        self.table.transact(writes, op=fresh_id(f"{state}-"))
        return self.get(tenant, job_id)

    @staticmethod
    def _run(tenant: Tenant, job_id: str, state: JobState, attempt: int, values: Mapping[str, Any]) -> Write:
        """The same move on the attempt's own item."""
        told: dict[str, Any] = {"attempt": attempt, "state": str(state)}
        if state is JobState.RUNNING:
            told["started_at"] = stamp()
        if state.final:
            told |= {"ended_at": stamp(), "error": values.get("error"), "error_code": values.get("error_code")}
        return Write("update", tenant.pk(Kind.JOB, job_id), run_key(attempt), told)

    def again(self, tenant: Tenant, job: Job, code: str, text: str, values: Mapping[str, Any] | None = None) -> Job:
        """End this attempt as failed and make the next one, with other hyperparameters where `values` has them."""
        told = {"attempt": job.attempt, "code": code, "text": text}
        changes = {"progress": {}, "gates": {}, **(values or {}), "recoveries": [*job.recoveries, told]}
        ended = {"state": str(JobState.FAILED), "ended_at": stamp(), "error": text, "error_code": code}
        following, pk, now = job.attempt + 1, tenant.pk(Kind.JOB, job.id), stamp()
        writes = [
            Write(
                "update",
                pk,
                "body",
                {**changes, "state": str(JobState.QUEUED), "attempt": following, "stage": None, "updated_at": now},
                expect={"state": may_become(JobState.QUEUED), "attempt": job.attempt},
            ),
            Write("update", pk, run_key(job.attempt), {"attempt": job.attempt, "progress": job.progress, **ended}),
            Write(
                "put",
                pk,
                run_key(following),
                {"attempt": following, "state": str(JobState.QUEUED), "created_at": now, **(values or {})},
            ),
        ]
        self.table.transact(writes, op=fresh_id("again-"))
        return self.get(tenant, job.id)

    def note(
        self,
        tenant: Tenant,
        job_id: str,
        attempt: int,
        values: Mapping[str, Any],
        of_run: Mapping[str, Any] | None = None,
    ) -> None:
        """Put figures on a running attempt, and on its run. Late ones, of an attempt that is over, are dropped."""
        expect = {"attempt": attempt, "state": (str(JobState.QUEUED), str(JobState.RUNNING), str(JobState.PENDING))}
        pk = tenant.pk(Kind.JOB, job_id)
        write = Write("update", pk, "body", {**values, "updated_at": stamp()}, expect=expect)
        try:
            if of_run:
                self.table.transact([write, Write("update", pk, run_key(attempt), of_run)], op=fresh_id("note-"))
            else:
                self.table.update(write, op=fresh_id("note-"))
        except Conflict:
            return

    def cancel(self, tenant: Tenant, job_id: str) -> Job:
        """End a job now: first the state, so that nothing concludes it otherwise, then the real work."""
        job = self._cancelled(tenant, job_id)
        try:
            self.settle(tenant, job)
        except MillraceError:
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
        """After an end: stop what still works, end its version, count its cost, clear `active`. May be repeated.

        One that may have left something behind an endpoint stays active until the sweeper has withdrawn that.
        """
        if job.state is JobState.CANCELLED:
            self.stop_work(job)
        elif job.state is JobState.FAILED:
            self.stop_containers(job)
        if job.state is not JobState.COMPLETED and job.model_id:
            self._end_version(tenant, job)
        if usd_per_h := job.forecast.get("usd_per_h"):
            spent = spent_usd(self.runs(tenant, job.id), usd_per_h, now())
            TrainingBudget(self.table).settle(tenant, job.id, job.created_at, spent)
        if job.state is JobState.COMPLETED or not self.item(tenant, job.id).get(DEPLOYING):
            self.table.transact([self._inactive(job.id)], op=fresh_id("settle-"))

    def deploying(self, tenant: Tenant, job_id: str, attempt: int) -> None:
        """Remember that this attempt is about to touch an endpoint. Conflict where it is over."""
        expect = {"attempt": attempt, "state": tuple(str(state) for state in JobState if not state.final)}
        values = {DEPLOYING: attempt, "updated_at": stamp()}
        write = Write("update", tenant.pk(Kind.JOB, job_id), "body", values, expect=expect)
        self.table.update(write, op=fresh_id("deploying-"))

    def withdrawn(self, tenant: Tenant, job_id: str) -> None:
        """The endpoint has nothing of this job's any more."""
        self.table.update(Write("update", tenant.pk(Kind.JOB, job_id), "body", {DEPLOYING: None}), fresh_id("gone-"))

    def _end_version(self, tenant: Tenant, job: Job) -> None:
        """Failed or cancelled, as its job is. One that serves already goes on serving."""
        cancelled = job.state is JobState.CANCELLED
        state = ModelState.CANCELLED if cancelled else ModelState.FAILED
        model_id = str(job.model_id)
        before = set(model_may_become(state)) - {str(ModelState.ACTIVE)}
        error = "Its training was cancelled by request." if cancelled else job.error
        values = {"state": str(state), "error": error, "updated_at": stamp()}
        expect = {"state": tuple(sorted(before))}
        write = Write("update", tenant.pk(Kind.MODEL, model_id), "body", values, expect=expect)
        try:
            self.table.update(write, op=fresh_id("ended-"))
        except Conflict:
            return

    @staticmethod
    def _inactive(job_id: str) -> Write:
        return Write("delete", system_pk(Kind.ACTIVE_JOB), job_id)

    def stop_work(self, job: Job) -> None:
        """Stop the attempt's execution and whatever container it left running."""
        aws.stop("Stopping", self.stepfunctions.stop_execution, executionArn=self.execution_arn(job))
        self.stop_containers(job)

    def stop_containers(self, job: Job) -> None:
        for part in job.parts:
            name = job_name(self.prefix, job.id, job.attempt, part)
            aws.stop("Stopping", self.sagemaker.stop_training_job, TrainingJobName=name)

    def machine_of(self, job: Job) -> str:
        return search_machine(self.machine) if job.dataset_id else self.machine

    def execution_arn(self, job: Job) -> str:
        return self.machine_of(job).replace(":stateMachine:", ":execution:") + f":{job.id}-{job.attempt}"

    def execution_status(self, job: Job) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED; None where it was never started."""
        try:
            with aws.mapped("Asking for the execution"):
                return str(self.stepfunctions.describe_execution(executionArn=self.execution_arn(job))["status"])
        except NotFound:
            return None

    def active(self) -> list[Item]:
        """Every job that is not settled: job_id, tenant, tier, created_at; `waiting` for its turn or not."""
        return self.table.query(system_pk(Kind.ACTIVE_JOB), limit=sys.maxsize)

    def working_on(self, tenant: Tenant, dataset_id: str) -> list[str]:
        """The tenant's jobs that train on a dataset of images, or wait to."""
        found = [self.get(tenant, item["job_id"]) for item in self.active() if item["tenant"] == tenant.id]
        return [job.id for job in found if job.dataset_id == dataset_id and not job.state.final]

    def owner(self, job_id: str) -> Tenant | None:
        """Whose job this is, also when it is over; None where it is nobody's."""
        if not 0 < len(job_id) <= MAX_ID or "#" in job_id:
            return None
        found = self.table.get(system_pk(Kind.JOB_OWNER, job_id), "body")
        found = found or self.table.get(system_pk(Kind.ACTIVE_JOB), job_id)  # a job of before owners were kept
        return Tenant(found["tenant"], Tier(found["tier"])) if found else None

    def sweep_one(self, tenant: Tenant, job_id: str) -> Literal["left", "started", "restarted", "failed", "cleared"]:
        """Give a job what it lacks: a first start, a new attempt, its end, or what should have followed its end."""
        job = self.get(tenant, job_id)
        if job.state.final:
            self.settle(tenant, job)
            return "cleared"
        if job.state is JobState.PENDING and self._waiting(job_id):
            return "left"
        status = self.execution_status(job)
        if status == "RUNNING":
            return "left"
        if status is None:
            self.start(tenant, job)
            return "started"
        self.stop_work(job)
        return self._lost(tenant, job, f"The execution ended as {status} without a result.")

    def _lost(self, tenant: Tenant, job: Job, told: str) -> Literal["restarted", "failed"]:
        """The next attempt of a job whose last one said nothing, or its end."""
        if job.lost() + 1 >= MAX_ATTEMPTS:
            return self._given_up(tenant, job, f"Given up after {job.attempt} attempts: {told}")
        try:
            values = self.limits_of_next(tenant, job)
        except Forbidden as error:
            return self._given_up(tenant, job, f"{told} Another attempt would pass the cap: {error}")
        self.start(tenant, self.again(tenant, job, LOST, told, values))
        return "restarted"

    def _given_up(self, tenant: Tenant, job: Job, error: str) -> Literal["failed"]:
        values = {"error": error, "error_code": LOST}
        self.settle(tenant, self.move(tenant, job.id, JobState.FAILED, job.attempt, values))
        return "failed"

    def limits_of_next(self, tenant: Tenant, job: Job) -> dict[str, Any]:
        """How long the next attempt's containers may run, so that all attempts stay below what was held for the job.

        Forbidden where what is left does not pay for another.
        """
        usd_per_h = job.forecast.get("usd_per_h")
        if not usd_per_h:
            return {}
        told, budget = Forecast.of(job.forecast), TrainingBudget(self.table)
        held = budget.held_usd(tenant, job.id, job.created_at)
        cap = told.at_most_usd(job.max_runtime_s or float("inf")) if held is None else held
        limit_s = within(told, cap - spent_usd(self.runs(tenant, job.id), usd_per_h, now()))
        return {"max_runtime_s": min(filter(None, (limit_s, job.max_runtime_s)), default=None)}

    def _waiting(self, job_id: str) -> bool:
        return bool((self.table.get(system_pk(Kind.ACTIVE_JOB), job_id) or {}).get("waiting"))
