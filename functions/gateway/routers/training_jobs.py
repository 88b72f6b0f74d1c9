"""/api/training-jobs: begin, list, watch, cancel."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Header
from millrace.clock import fresh_id
from millrace.jobs import Job as DomainJob
from millrace.training import DEFAULT_MODEL_NAME
from pydantic import BaseModel, Field

from functions import parts
from functions.gateway.caller import Caller, Operator
from functions.gateway.paging import Paged
from functions.gateway.shapes import Figures, Page, settings

router = APIRouter(tags=["training jobs"])


class Request(BaseModel):
    strategy: str = Field("lora-sft", max_length=64)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    model_name: str = Field(DEFAULT_MODEL_NAME, max_length=32)
    max_runtime_s: int | None = Field(
        None, ge=1, le=28 * 24 * 3600, description="Of each container; it is stopped then."
    )


class Job(BaseModel):
    id: str
    state: str
    strategy: str
    progress: Figures
    error: str | None
    model_id: str | None
    created_at: str
    updated_at: str | None
    attempt: int
    snapshot_id: str
    model_name: str
    started_by: str
    hyperparameters: Figures
    gates: Figures


def _shown(job: DomainJob) -> Job:
    return Job.model_validate(job.shown())


@router.post("/api/training-jobs", status_code=201, summary="Train on all usable pairs")
def create(
    request: Request, caller: Operator, idempotency_key: Annotated[str | None, Header(max_length=255)] = None
) -> Job:
    job_id = _derived(caller.id, idempotency_key) if idempotency_key else fresh_id("j")
    asked = request.model_dump()
    return _shown(parts.training(settings).begin(caller, job_id, **asked))


@router.get("/api/training-jobs", summary="Training jobs, newest first")
def list_jobs(caller: Caller, paging: Paged) -> Page[Job]:
    jobs, following = parts.jobs(settings).page(caller, paging.limit, paging.cursor)
    return paging.page([_shown(job) for job in jobs], following)


@router.get("/api/training-jobs/{id}", summary="One training job with its progress")
def get(id: str, caller: Caller) -> Job:
    return _shown(parts.jobs(settings).get(caller, id))


@router.delete("/api/training-jobs/{id}", summary="Cancel a training job")
def cancel(id: str, caller: Operator) -> Job:
    return _shown(parts.jobs(settings).cancel(caller, id))


def _derived(tenant: str, key: str) -> str:
    """The same key of the same tenant names the same job."""
    return "j" + hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()[:20]
