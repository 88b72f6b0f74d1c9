"""/v1/files and /v1/fine_tuning/jobs: OpenAI's fine-tuning for its own clients, over our trainings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from millrace import fine_tuning
from millrace.clock import fresh_id
from millrace.errors import InvalidInput, NotFound
from millrace.files import MAX_BYTES, unix, why
from millrace.jobs import Job as DomainJob
from millrace.table import Item
from millrace.training import DEFAULT_MODEL_NAME
from pydantic import BaseModel, ConfigDict, Field, model_validator

from functions import parts
from functions.collecting import train_if_due
from functions.gateway import multipart, problems
from functions.gateway.caller import Caller, Operator
from functions.gateway.once import Once
from functions.gateway.shapes import Figures, settings

router = APIRouter(tags=["OpenAI-compatible"], responses=problems.OPENAI_RESPONSES, route_class=Once)

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": ["fine-tune"]},
                    },
                }
            }
        },
    }
}
Count = Annotated[int, Query(ge=1, le=100)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
After = Annotated[str | None, Query(max_length=256, description="Id after which to go on.")]


class File(BaseModel):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None = None


class Deleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class _Closed(BaseModel):
    """What is not known is refused: a setting that nobody heeds is worse than none."""

    model_config = ConfigDict(extra="forbid")


class Hyperparameters(_Closed):
    n_epochs: int | Literal["auto"] | None = None
    batch_size: int | Literal["auto"] | None = None
    learning_rate_multiplier: float | Literal["auto"] | None = None
    beta: float | Literal["auto"] | None = None


class Chosen(_Closed):
    hyperparameters: Hyperparameters | None = None


class Method(_Closed):
    type: str = Field("supervised", max_length=32)
    supervised: Chosen | None = None
    dpo: Chosen | None = None

    @model_validator(mode="after")
    def _of_its_type(self) -> Method:
        others = [name for name in ("supervised", "dpo") if name != self.type and getattr(self, name) is not None]
        if others and self.type in fine_tuning.STRATEGY:
            raise ValueError(f"The method is {self.type}, and what is set is of {others[0]}.")
        return self


class Wanted(_Closed):
    model: str = Field(min_length=1, max_length=160, description="The stage's base model, or auto.")
    training_file: str = Field(min_length=1, max_length=64)
    validation_file: str | None = Field(None, max_length=64)
    suffix: str | None = Field(None, max_length=64)
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    metadata: dict[MetadataKey, MetadataValue] | None = Field(None, max_length=16)
    integrations: list[Any] | None = Field(None, max_length=0, description="There are none.")


class Job(BaseModel):
    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    error: Figures | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: Figures
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: str
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    estimated_finish: int | None
    integrations: list[Figures]
    metadata: dict[str, str] | None
    method: Figures


class Event(BaseModel):
    id: str
    object: Literal["fine_tuning.job.event"]
    created_at: int
    level: str
    message: str
    type: str
    data: Figures | None


class Checkpoint(BaseModel):
    id: str
    object: Literal["fine_tuning.job.checkpoint"]
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: Figures
    step_number: int


class _Listed(BaseModel):
    object: Literal["list"] = "list"
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None


class FileList(_Listed):
    data: list[File]


class JobList(_Listed):
    data: list[Job]


class EventList(_Listed):
    data: list[Event]


class CheckpointList(_Listed):
    data: list[Checkpoint]


def _file(item: Item) -> File:
    report = item["report"] or {}
    refused = report.get("state") == "refused"
    status: Any = "error" if refused else "processed" if report.get("state") == "collected" else "uploaded"
    return File(
        id=item["id"],
        bytes=item["size_bytes"],
        created_at=unix(item["created_at"]),
        filename=item["filename"],
        purpose=item["purpose"],
        status=status,
        status_details=why(item) if refused else None,
    )


async def _form(request: Request) -> dict[str, tuple[str | None, bytes]]:
    body = await request.body()
    if len(body) > MAX_BYTES:
        raise InvalidInput(f"A file has at most {MAX_BYTES} bytes here; put a larger one into the drop folder.")
    return multipart.read(request.headers.get("content-type", ""), body)


Form = Annotated[dict[str, tuple[str | None, bytes]], Depends(_form)]


@router.post("/v1/files", summary="Send a file of chats or preferences, JSON lines, to train on", openapi_extra=BODY)
def create_file(form: Form, caller: Operator) -> File:
    if "file" not in form or "purpose" not in form:
        raise InvalidInput("The form has a file and its purpose.")
    name, body = form["file"]
    purpose = form["purpose"][1].decode(errors="replace")
    file = parts.files(settings).create(caller, (name or "data.jsonl")[:255], purpose, body)
    train_if_due(settings, caller)
    return _file(file)


@router.get("/v1/files", summary="Files, newest first")
def list_files(caller: Caller, limit: Count = 20, after: After = None, purpose: str | None = None) -> FileList:
    files = parts.files(settings)
    items, following = files.page(caller, limit, _cursor(files.get(caller, after)) if after else None)
    data = [_file(item) for item in items if purpose in (None, item["purpose"])]
    return FileList(data=data, has_more=following is not None, **_ends(data))


@router.get("/v1/files/{id}", summary="One file and whether its rows are collected")
def get_file(id: str, caller: Caller) -> File:
    return _file(parts.files(settings).get(caller, id))


@router.get(
    "/v1/files/{id}/content",
    summary="A file as it was sent",
    response_class=Response,
    responses={200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
)
def get_content(id: str, caller: Caller) -> Response:
    return Response(parts.files(settings).content(caller, id), media_type="application/jsonl")


@router.delete("/v1/files/{id}", summary="Forget a file; what was collected from it stays")
def delete_file(id: str, caller: Operator) -> Deleted:
    parts.files(settings).delete(caller, id)
    return Deleted(id=id)


@router.post("/v1/fine_tuning/jobs", summary="Train on a file")
def create_job(wanted: Wanted, caller: Operator) -> Job:
    if wanted.model not in (settings.base_model, "auto"):
        raise InvalidInput(f"{wanted.model!r} cannot be fine-tuned here; {settings.base_model} can.")
    if wanted.validation_file:
        raise InvalidInput("The held-out rows are taken from the training file; leave validation_file out.")
    method = wanted.method or Method(type="supervised")
    chosen = getattr(method, method.type, None) if method.type in fine_tuning.STRATEGY else None
    given = (chosen and chosen.hyperparameters) or wanted.hyperparameters or Hyperparameters()
    values = fine_tuning.hyperparameters(method.type, given.model_dump(), wanted.seed)
    name = fine_tuning.model_name(wanted.suffix, DEFAULT_MODEL_NAME)
    labels = {
        fine_tuning.FILE: wanted.training_file,
        fine_tuning.MODEL: wanted.model,
        fine_tuning.METHOD: method.type,
        fine_tuning.METADATA: wanted.metadata,
    }
    job = parts.training(settings).begin(
        caller,
        fresh_id("j"),
        strategy=fine_tuning.STRATEGY[method.type],
        hyperparameters=values,
        model_name=name,
        snapshot_id=parts.files(settings).snapshot(caller, wanted.training_file),
        labels={name: value for name, value in labels.items() if value},
    )
    return _job(job)


@router.get("/v1/fine_tuning/jobs", summary="Trainings, newest first")
def list_jobs(caller: Caller, limit: Count = 20, after: After = None) -> JobList:
    jobs = parts.jobs(settings)
    cursor = jobs.table.cursor_of(jobs.item(caller, after)) if after else None
    found, following = jobs.page(caller, limit, cursor)
    data = [_job(job) for job in found]
    return JobList(data=data, has_more=following is not None, **_ends(data))


@router.get("/v1/fine_tuning/jobs/{id}", summary="One training")
def get_job(id: str, caller: Caller) -> Job:
    return _job(parts.jobs(settings).get(caller, id))


@router.post("/v1/fine_tuning/jobs/{id}/cancel", summary="Cancel a training")
def cancel_job(id: str, caller: Operator) -> Job:
    return _job(parts.training(settings).cancel(caller, id))


@router.get("/v1/fine_tuning/jobs/{id}/events", summary="What happened in a training, newest first")
def list_events(id: str, caller: Caller, limit: Count = 20, after: After = None) -> EventList:
    jobs, log = parts.jobs(settings), parts.joblog(settings)
    job = jobs.get(caller, id)
    runs = jobs.runs(caller, id)
    figures = {run["attempt"]: log.figures(caller, id, run["attempt"]).get("train", []) for run in runs}
    data, more = _following([Event(**event) for event in fine_tuning.events(job, runs, figures)], limit, after)
    return EventList(data=data, has_more=more, **_ends(data))


@router.get("/v1/fine_tuning/jobs/{id}/checkpoints", summary="What a training would go on from, newest first")
def list_checkpoints(id: str, caller: Caller, limit: Count = 10, after: After = None) -> CheckpointList:
    job = parts.jobs(settings).get(caller, id)
    steps = parts.jobs(settings).checkpoints(parts.store(settings), caller, id)
    told = [Checkpoint(**fine_tuning.checkpoint(job, step, at)) for step, at in steps]
    data, more = _following(told, limit, after)
    return CheckpointList(data=data, has_more=more, **_ends(data))


def _job(job: DomainJob) -> Job:
    return Job.model_validate(fine_tuning.shown(job))


def _cursor(item: Item) -> str:
    return parts.table(settings).cursor_of(item)


def _following(told: list[Any], limit: int, after: str | None) -> tuple[list[Any], bool]:
    """What comes after an id, and whether more does."""
    ids = [one.id for one in told]
    if after and after not in ids:
        raise NotFound(f"There is no {after}.")
    rest = told[ids.index(after) + 1 :] if after else told
    return rest[:limit], len(rest) > limit


def _ends(data: list[Any]) -> dict[str, Any]:
    return {"first_id": data[0].id if data else None, "last_id": data[-1].id if data else None}
