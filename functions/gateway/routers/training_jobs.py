"""/api/training-jobs, also as /api/jobs: forecast, begin, list, watch, read, cancel."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi import Request as Http
from millrace import clock
from millrace.clock import fresh_id
from millrace.contract import JobState
from millrace.errors import NotFound
from millrace.jobs import Job as DomainJob
from millrace.tenants import Tenant
from millrace.training import AUTO, SEARCH
from pydantic import BaseModel, ConfigDict, Field

from functions import parts
from functions.gateway import sse
from functions.gateway.caller import Caller, Operator
from functions.gateway.once import Once
from functions.gateway.paging import Paged
from functions.gateway.shapes import Figures, Page, settings
from functions.gateway.sse import Events

FOLLOW_S = 1.0
"""Between two looks for who follows a job."""
LATE_S = 15
"""Log lines may come so long after their job's end."""

routes = APIRouter(tags=["training jobs"], route_class=Once)


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")  # a cap that was misspelt must not be no cap

    strategy: str = Field(AUTO, max_length=64, description="auto: the data decide.")
    framework: str | None = Field(None, max_length=32, description="Refused where it is not the strategy's.")
    base_model: str | None = Field(
        None,
        max_length=96,
        description="What is fine-tuned: a folder below base/ in the data bucket; else the stage's.",
    )
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="Over the strategy's defaults.")
    model_name: str = Field("", max_length=32, description="Empty: humanizer, or classifier for images.")
    snapshot_id: str | None = Field(None, max_length=64, description="Pairs to train on; else all that are usable now.")
    dataset_id: str | None = Field(None, max_length=64, description="Images to train on, for a strategy on images.")
    max_runtime_s: int | None = Field(
        None, ge=1, le=28 * 24 * 3600, description="Of each container; it is stopped then."
    )
    priority: Literal["low", "normal", "high"] = Field("normal", description="Among your own jobs.")
    spot: bool = Field(False, description="Cheaper machines that may be taken away; it goes on from a checkpoint.")
    instance_type: str | None = Field(None, max_length=64, description="Of the training; else what the strategy says.")
    max_cost_usd: float | None = Field(None, gt=0, le=1_000_000, description="Cap of the whole job.")
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        max_length=20,
        description="Bounds of the gate that take the place of its own, by metric.",
        examples=[{"edit_rate": 0.6, "loss_ratio": 0.8}],
    )


class Job(BaseModel):
    id: str
    state: str
    strategy: str
    progress: Figures
    error: str | None
    error_code: str | None
    model_id: str | None
    created_at: str
    updated_at: str | None
    attempt: int
    snapshot_id: str | None
    dataset_id: str | None
    base_model: str | None
    model_name: str
    started_by: str
    hyperparameters: Figures
    gates: Figures
    thresholds: Figures
    """What was asked of the gate otherwise than it asks by itself."""
    priority: str
    spot: bool
    instance_type: str | None
    max_runtime_s: int | None
    max_cost_usd: float | None
    forecast: Figures
    recoveries: list[Figures]
    """Why earlier attempts ended and what was changed for the next."""


class Forecast(BaseModel):
    expected_s: float
    expected_usd: float
    at_most_usd: float
    """What its containers cost if each runs to its time limit; held while the job is open."""
    usd_per_h: float
    month_committed_usd: float
    month_limit_usd: float
    parts: list[Figures]


class Attempt(BaseModel):
    attempt: int
    state: str
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: str | None = None
    error_code: str | None = None
    progress: Figures = Field(default_factory=dict)
    hyperparameters: Figures = Field(default_factory=dict)
    log_lines: int = 0


class Line(BaseModel):
    at: str
    part: str
    """Of the attempt: train, evaluate, gguf, or trials<n> of a search."""
    text: str


class Progress(BaseModel):
    id: str
    state: str
    attempt: int
    progress: Figures
    error: str | None
    updated_at: str | None


class Metrics(BaseModel):
    attempt: int
    parts: dict[str, list[Figures]]
    """Figures of each part in the order of time, evenly thinned."""


class Search(BaseModel):
    rounds: int
    """Judged."""
    best: float | None
    """Validation accuracy, 0 to 1."""
    reached: bool
    """Whether the target was."""
    proposed: list[Figures]
    """By round: who proposed it (llm or evolution), and a sentence for each proposal that was not taken."""
    tried: list[Figures]
    """Candidates of the rounds that were judged, in their order: the network, how far it came, or why it failed."""
    next: str | None
    """Cursor of the candidates after these."""


Chosen = Annotated[int | None, Query(ge=1, le=999, description="Attempt; else the newest.")]


def _shown(job: DomainJob) -> Job:
    return Job.model_validate(job.shown())


@routes.post("", status_code=201, summary="Train")
def create(
    request: Request, caller: Operator, idempotency_key: Annotated[str | None, Header(max_length=255)] = None
) -> Job:
    job_id = _derived(caller.id, idempotency_key) if idempotency_key else fresh_id("j")
    return _shown(parts.training(settings).begin(caller, job_id, **request.model_dump()))


@routes.post("/forecast", summary="What a training would cost, and whether it may begin; nothing is begun")
def forecast(request: Request, caller: Caller) -> Forecast:
    return Forecast.model_validate(parts.training(settings).forecast(caller, **request.model_dump()))


@routes.get("", summary="Training jobs, newest first")
def list_jobs(caller: Caller, paging: Paged, state: JobState | None = None) -> Page[Job]:
    jobs, following = parts.jobs(settings).page(caller, paging.limit, paging.cursor, state)
    return paging.page([_shown(job) for job in jobs], following)


@routes.get("/{id}", summary="One training job with its progress")
def get(id: str, caller: Caller) -> Job:
    return _shown(parts.jobs(settings).get(caller, id))


@routes.delete("/{id}", summary="Cancel a training job")
def cancel(id: str, caller: Operator) -> Job:
    return _shown(parts.training(settings).cancel(caller, id))


@routes.get(
    "/{id}/progress",
    summary="How far a training job is; small, to be asked again and again, or to be followed as a stream",
    description=(
        "With `Accept: text/event-stream` an event `progress` for every change, and `ended` at the job's end. After a "
        "while the stream closes; a reader of server-sent events comes again by itself."
    ),
    response_model=Progress,
    responses=sse.SCHEMA,
)
def progress(id: str, caller: Caller, http: Http) -> Progress | Events:
    now = _progress(id, caller)
    if sse.MEDIA_TYPE not in http.headers.get("accept", ""):
        return now
    stopped = Event()
    return Events(_followed(id, caller, now, stopped), stopped)


def _progress(id: str, caller: Tenant) -> Progress:
    return Progress.model_validate(parts.jobs(settings).get(caller, id), from_attributes=True)


def _followed(id: str, caller: Tenant, now: Progress, stopped: Event) -> Generator[bytes, None, None]:
    """What is new, as it comes, for as long as one request may take."""
    until, told = time.monotonic() + settings.deadline_s - FOLLOW_S, None
    while True:
        ended = JobState(now.state).final
        if now != told:
            yield sse.event(now.model_dump(), "ended" if ended else "progress")
        if ended or time.monotonic() > until or stopped.wait(FOLLOW_S):
            return
        told, now = now, _progress(id, caller)


@routes.get("/{id}/attempts", summary="Every attempt of a training job, the first one first")
def attempts(id: str, caller: Caller) -> Page[Attempt]:
    runs = parts.jobs(settings).runs(caller, id)
    return Page(items=[Attempt.model_validate({name: v for name, v in run.items() if v is not None}) for run in runs])


@routes.get("/{id}/logs", summary="What the containers said, in the order of time")
def logs(id: str, caller: Caller, paging: Paged, attempt: Chosen = None) -> Page[Line]:
    """`next` goes on after these lines; it stays until the job has ended and nothing more can come."""
    job = parts.jobs(settings).get(caller, id)
    chosen = attempt or job.attempt
    lines, following = parts.joblog(settings).page(caller, id, chosen, paging.limit, paging.cursor)
    items = [Line(at=_time(line["at_ms"]), part=line["part"], text=line["text"]) for line in lines]
    return paging.page(items, None if not lines and _over(job) else following)


@routes.get("/{id}/metrics", summary="The figures of an attempt over time: loss curves")
def metrics(id: str, caller: Caller, attempt: Chosen = None) -> Metrics:
    newest = parts.jobs(settings).get(caller, id).attempt
    chosen = attempt or newest
    return Metrics(attempt=chosen, parts=parts.joblog(settings).figures(caller, id, chosen))


@routes.get("/{id}/search", summary="The rounds of a search: who proposed what, what was refused, what was tried")
def search(id: str, caller: Caller, paging: Paged) -> Search:
    job = parts.jobs(settings).get(caller, id)
    if job.strategy != SEARCH:
        raise NotFound(f"Training job {id} is a {job.strategy}; rounds are what {SEARCH} has.")
    searching = parts.searching(settings)
    state, first = searching.state(caller, job), int(paging.cursor or 0)
    history, last = searching.history(caller, job), first + paging.limit
    page = paging.page([tried.model_dump() for tried in history[first:last]], str(last) if history[last:] else None)
    return Search(
        **state.model_dump(include={"rounds", "best", "reached"}),
        proposed=[asked.model_dump() for asked in state.asked],
        tried=page.items,
        next=page.next,
    )


def _time(at_ms: int) -> str:
    return clock.stamp(datetime.fromtimestamp(at_ms / 1000, UTC))


def _over(job: DomainJob) -> bool:
    ended = datetime.fromisoformat(job.updated_at or job.created_at)
    return job.state.final and clock.now() - ended > timedelta(seconds=LATE_S)


def _derived(tenant: str, key: str) -> str:
    """The same key of the same tenant names the same job, also where the first request was killed half way."""
    return "j" + hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()[:20]


router = APIRouter()
for prefix in ("/api/training-jobs", "/api/jobs"):
    router.include_router(routes, prefix=prefix)
