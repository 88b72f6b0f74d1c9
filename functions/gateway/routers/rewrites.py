"""/api/humanize/jobs: rewrites that nobody waits for. Long texts and big batches become one."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from millrace.datapoints import MAX_TEXT, MAX_WORDS
from millrace.rewrites import MAX_TEXTS, Order
from millrace.tenants import Tenant
from millrace.text.words import more_words
from pydantic import BaseModel

from functions import parts
from functions.gateway.answering import humanizer
from functions.gateway.caller import Caller
from functions.gateway.paging import Paged
from functions.gateway.problems import Problem
from functions.gateway.shapes import Answered, Figures, LongResponse, Page, settings

router = APIRouter(tags=["humanize"])
__all__ = ["ACCEPTED", "MAX_TEXTS", "accept", "long", "router"]

PATH = "/api/humanize/jobs"
LOOK_AGAIN_S = 2


class Job(BaseModel):
    id: str
    state: str
    """pending, running, completed, failed or cancelled."""
    batch: bool
    texts: int
    progress: Figures
    """step of steps, in paragraphs."""
    error: str | None = None
    problem: Problem | None = None
    """Of a failed job, where it is small: what a request would have been told, an unfaithful draft too."""
    problem_url: str | None = None
    """A long problem as JSON, for a quarter of an hour; ask again for a new link."""
    created_at: str
    updated_at: str
    result: LongResponse | Answered | None = None
    """Of a completed job, where it is small; of one text what POST /api/humanize answers, of a batch its items."""
    result_url: str | None = None
    """The whole result as JSON, for a quarter of an hour; ask again for a new link."""


ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "model": Job,
        "description": "Too long to wait for: a job, whose address is in Location",
        "headers": {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "string"}}},
    }
}


def long(text: str) -> bool:
    """Whether nobody should wait for its rewrite."""
    return len(text) > MAX_TEXT or more_words(text, MAX_WORDS)


def accept(caller: Tenant, order: Order, key: str | None) -> JSONResponse:
    """202 with the job. The same order under the same Idempotency-Key is the same job."""
    humanizer().admit(caller, order.wish)
    item = parts.rewrites(settings).submit(caller, order, _derived(caller, order, key) if key else None)
    headers = {"Location": f"{PATH}/{item['id']}", "Retry-After": str(LOOK_AGAIN_S)}
    return JSONResponse(Job.model_validate(item).model_dump(exclude_none=True), 202, headers)


@router.get(PATH, summary="Rewrites of long texts and big batches, newest first")
def list_rewrites(caller: Caller, paging: Paged) -> Page[Job]:
    items, following = parts.rewrites(settings).page(caller, paging.limit, paging.cursor)
    return paging.page([Job.model_validate(item) for item in items], following)


@router.get(PATH + "/{id}", summary="One rewrite: its progress, and its result once it is completed")
def get(id: str, caller: Caller) -> Job:
    rewrites = parts.rewrites(settings)
    item = rewrites.get(caller, id)
    result, link = rewrites.result(caller, item)
    problem, told_at = rewrites.problem(item)
    return Job.model_validate(item | {"result": result, "result_url": link, "problem": problem, "problem_url": told_at})


@router.delete(
    PATH + "/{id}",
    summary="Cancel a rewrite",
    description=(
        "What is being rewritten at the moment, a few paragraphs, is finished and charged; nothing after it is begun. "
        "The job stays, as cancelled and without a result, until it expires. Again is no error; a job that has "
        "completed or failed is 409."
    ),
)
def cancel(id: str, caller: Caller) -> Job:
    return Job.model_validate(parts.rewrites(settings).cancel(caller, id))


def _derived(caller: Tenant, order: Order, key: str) -> str:
    named = f"{caller.id}\0{key}\0{order!r}"
    return "rw" + hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:20]
