"""/api/training-data: examples and answers; sent in, browsed, exported, rated and forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from millrace.browsing import Filters, Row
from millrace.clock import stamp
from millrace.datapoints import MAX_TEXT, DataPoint, Origin, Turn, check_unicode, content_id, split_of
from millrace.errors import InvalidInput
from millrace.exports import Export as DomainExport
from millrace.feedback import FIGURES, SCALE, kinds
from millrace.indexing import means
from millrace.tenants import Tenant
from pydantic import AwareDatetime, BaseModel, Field

from functions import parts
from functions.collecting import train_if_due
from functions.gateway.caller import Caller, Editor, Operator
from functions.gateway.once import Once
from functions.gateway.paging import Paged
from functions.gateway.shapes import Figures, Page, Reason, settings

router = APIRouter(tags=["training data"], route_class=Once)

MAX_AT_ONCE = 50
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^#\s]+$")]


class Message(BaseModel):
    role: Literal["system", "user", "assistant"]
    text: Text


class Example(BaseModel):
    source: Text = Field(examples=["Moreover, it is important to note that we utilize 3 servers."])
    target: Text = Field(examples=["We use 3 servers."])
    rejected: Text | None = None
    """A text that the target is preferred over."""
    context: list[Message] = Field(default_factory=list, max_length=50)
    """Turns of a chat before the source, the oldest first."""
    consent: str = Field("", max_length=200)
    """On what ground the texts are kept; else what the tenant's policy says."""


class Examples(BaseModel):
    items: list[Example] = Field(min_length=1, max_length=MAX_AT_ONCE)


class Quality(BaseModel):
    """How good an example is: in [0, 1], and its parts likewise."""

    score: float
    parts: dict[str, float]
    reasons: list[Reason]
    language: str
    ai_likeness: dict[str, float]
    improvement: float
    """How much less machine-like the target reads than the source."""
    near: str | None
    """The earlier data point that is nearly the same."""


class Said(BaseModel):
    """What people said of an answer."""

    kinds: list[str]
    rating: int | None = None
    edit_id: str | None = None
    edit_cost: float | None = None
    rejected_for: str | None = None
    feedback_at: str | None = None


class Point(BaseModel):
    id: str
    origin: str
    """answer, drop, api, edit, accepted or negative."""
    source: str
    target: str
    rejected: str | None
    context: list[Message]
    split: str
    trains: bool
    created_at: str
    origin_ref: str
    model_id: str | None
    scores: Figures
    consent: str
    masked: dict[str, int]
    """How much personal data of each kind was masked before storage."""
    quality: Quality | None
    """Absent for a moment after a point was stored."""
    feedback: Said | None


class Added(BaseModel):
    id: str
    new: bool
    """False: the same example stood there already."""


class Touched(BaseModel):
    """What had been made with data points that are gone."""

    snapshots: list[str]
    jobs: list[str]
    models: list[str]
    related: list[str]
    """Data points that hold the same source text and still stand."""


class Deleted(BaseModel):
    ids: list[str]
    touched: Touched


class DeletedSome(BaseModel):
    """`dry_run`: how many would go. Go on with `next` until it is null."""

    dry_run: bool
    count: int
    ids: list[str]
    touched: Touched
    next: str | None


class Group(BaseModel):
    count: int
    mean_quality: float | None
    mean_improvement: float | None
    mean_ai_likeness: dict[str, float | None]
    improved: int
    near_duplicates: int
    splits: dict[str, int]
    quality_histogram: list[int]
    """Points by tenth of the quality's range."""


class FeedbackFigures(BaseModel):
    rated: int
    mean_rating: float | None
    up: int
    down: int
    accepted: int
    edited: int
    rejected: int
    mean_edit_cost: float | None


class Stats(BaseModel):
    usable: int
    """Examples that can train, less those that were deleted."""
    trained: int
    """Examples there had been when the last training began."""
    deleted: int
    all: Group
    by_origin: dict[str, Group]
    by_model: dict[str, Group]
    by_month: dict[str, Group]
    feedback: FeedbackFigures


class ExportRequest(BaseModel):
    format: Literal["jsonl", "csv", "parquet"] = "jsonl"
    shape: Literal["pair", "chat", "preference"] = "pair"
    min_quality: float | None = Field(None, ge=0, le=1, strict=True)
    max_quality: float | None = Field(None, ge=0, le=1)
    model: Id | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    feedback: Feedback | None = None
    split: Split | None = None
    origin: Origin | None = None
    source: Id | None = None
    search: str | None = Field(None, min_length=2, max_length=200)


class Export(BaseModel):
    id: str
    state: Literal["pending", "ready", "failed"]
    format: str
    shape: str
    filters: Figures
    created_at: str
    rows: int
    size_bytes: int
    sha256: str
    error: str
    url: str | None
    """Where a ready file can be fetched, for a quarter of an hour."""


Feedback = Literal["rated", "up", "down", "accepted", "edited", "rejected"]
Split = Literal["train", "validation", "test"]
Quality01 = Annotated[float | None, Query(ge=0, le=1)]
ExportRequest.model_rebuild()


def filters(
    min_quality: Quality01 = None,
    max_quality: Quality01 = None,
    model: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    since: Annotated[AwareDatetime | None, Query(description="RFC 3339, with its zone; it is in.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="RFC 3339, with its zone; it is in.")] = None,
    feedback: Feedback | None = None,
    split: Split | None = None,
    origin: Origin | None = None,
    source: Annotated[
        str | None, Query(min_length=1, max_length=64, description="A drop's or a decision's id.")
    ] = None,
    search: Annotated[str | None, Query(min_length=2, max_length=200, description="Words that all occur.")] = None,
) -> Filters:
    return Filters(
        min_quality=min_quality,
        max_quality=max_quality,
        model=model,
        since=_time(since),
        until=_time(until),
        feedback=feedback,
        split=split,
        origin=origin,
        source=source,
        search=search,
    )


Filtered = Annotated[Filters, Depends(filters)]


def _time(at: datetime | None) -> str | None:
    """A year before 1000 is written with fewer digits on some systems: none of ours is so old."""
    if at is None:
        return None
    try:
        return stamp(at)
    except (OverflowError, ValueError) as error:
        raise InvalidInput(f"{at.isoformat()} is no time that can be told in UTC.") from error


def _shown(row: Row) -> Point:
    point, told = row.point, row.assessed
    quality = told and Quality(
        score=told.quality,
        parts=dict(told.parts),
        reasons=[Reason(**reason) for reason in told.reasons],
        language=told.language,
        ai_likeness={"before": told.before, "after": told.after},
        improvement=told.improvement,
        near=told.near,
    )
    said = Said(kinds=kinds(row.state), **_known(row.state, Said)) if row.state else None
    context = [Message.model_construct(role=turn.role, text=turn.text) for turn in point.context]
    values = {**_known(point.to_dict(), Point), "context": context, "rejected": point.rejected}
    values |= {"consent": point.consent, "masked": point.masked}
    return Point.model_construct(
        **values, split=split_of(point.source), trains=point.origin.trains, quality=quality, feedback=said
    )


def _known(values: Any, model: type[BaseModel]) -> Figures:
    return {name: value for name, value in values.items() if name in model.model_fields}


def _point(caller: Tenant, example: Example) -> DataPoint:
    turns = tuple(Turn(message.role, message.text) for message in example.context)
    texts = {"source": example.source, "target": example.target, "rejected": example.rejected or ""}
    for name, text in (texts | {"context": "\n".join(turn.text for turn in turns)}).items():
        check_unicode(name, text)
    check_unicode("consent", example.consent)
    if not example.source.strip() or not example.target.strip():
        raise InvalidInput("An example has a source and a target that are not blank.")
    if example.target.strip() in (example.source.strip(), (example.rejected or "").strip()):
        raise InvalidInput("The target is the same as the source or the rejected text: there is nothing to learn.")
    id = content_id(example.source, example.target, rejected=example.rejected, context=turns)
    return DataPoint(
        id=id,
        origin=Origin.API,
        source=example.source,
        target=example.target,
        created_at=stamp(),
        origin_ref="api",
        rejected=example.rejected,
        context=turns,
        consent=example.consent,
    )


@router.get("/api/training-data", summary="Data points, newest first, by any filter")
def list_training_data(caller: Caller, paging: Paged, wanted: Filtered) -> Page[Point]:
    rows, following = parts.browser(settings).page(caller, wanted, paging.limit, paging.cursor)
    return paging.page([_shown(row) for row in rows], following)


@router.post("/api/training-data", status_code=201, summary="Add examples; one that stands already is not added")
def create(request: Examples, caller: Editor) -> list[Added]:
    corpus = parts.corpus(settings)
    points = [corpus.kept(caller, _point(caller, example)) for example in request.items]
    new = corpus.add_counted(caller, points)
    if any(new):
        train_if_due(settings, caller)
    return [Added(id=point.id, new=fresh) for point, fresh in zip(points, new, strict=True)]


@router.delete("/api/training-data", summary="Count, then delete, the data points that the filters meet")
def delete_all(caller: Operator, paging: Paged, wanted: Filtered, dry_run: bool = True) -> DeletedSome:
    if not wanted.any:
        raise InvalidInput("Say which data points: a deletion of everything at once is not offered.")
    erasure = parts.erasure(settings)
    if dry_run:
        count, following = erasure.count(caller, wanted, paging.cursor)
        return _deleted_some(paging.page([None] * count, following), [], _NOTHING, True)
    done = erasure.delete_all(caller, wanted, caller.id, paging.cursor)
    page = paging.page([None] * len(done.ids), done.next)
    return _deleted_some(page, done.ids, Touched(**vars(done.touched)), False)


_NOTHING = Touched(snapshots=[], jobs=[], models=[], related=[])


def _deleted_some(page: Page[None], ids: list[str], touched: Touched, dry_run: bool) -> DeletedSome:
    return DeletedSome(dry_run=dry_run, count=len(page.items), ids=ids, touched=touched, next=page.next)


@router.get("/api/training-data/stats", summary="How good the data is, by origin, model and month")
def stats(caller: Caller) -> Stats:
    counts = parts.corpus(settings).counts(caller)
    figures = parts.index(settings).figures(caller)

    def groups(prefix: str) -> dict[str, Group]:
        return {
            name.removeprefix(prefix): Group(**means(counted))
            for name, counted in figures.items()
            if name.startswith(prefix)
        }

    return Stats(
        usable=counts.standing,
        trained=counts.trained,
        deleted=counts.removed,
        all=Group(**means(figures.get("all", {}))),
        by_origin=groups("origin:"),
        by_model=groups("model:"),
        by_month=groups("month:"),
        feedback=_feedback(figures.get(FIGURES, {})),
    )


def _feedback(counted: Figures) -> FeedbackFigures:
    names = ("rated", "up", "down", "accepted", "edited", "rejected")
    told = {name: int(counted.get(name, 0)) for name in names}
    return FeedbackFigures(
        **told,
        mean_rating=round(counted["rating"] / told["rated"], 3) if told["rated"] else None,
        mean_edit_cost=round(counted["edit_cost"] / told["edited"] / SCALE, 4) if told["edited"] else None,
    )


@router.post("/api/training-data/exports", status_code=202, summary="Ask for a file of data points")
def ask_export(request: ExportRequest, caller: Caller) -> Export:
    told = request.model_dump(exclude={"format", "shape"})
    wanted = Filters(**told | {"since": _time(request.since), "until": _time(request.until)})
    for name in ("model", "source", "search"):
        check_unicode(name, told[name] or "")
    if wanted.search is not None and not wanted.words:
        raise InvalidInput("The search holds no word to look for: give one of two letters or more.")
    return _export(caller, parts.exports(settings).ask(caller, request.format, request.shape, wanted))


@router.get("/api/training-data/exports", summary="Files that were asked for, newest first")
def list_exports(caller: Caller, paging: Paged) -> Page[Export]:
    found, following = parts.exports(settings).page(caller, paging.limit, paging.cursor)
    return paging.page([_export(caller, export) for export in found], following)


@router.get("/api/training-data/exports/{id}", summary="One file: whether it is ready, and where it is")
def get_export(id: str, caller: Caller) -> Export:
    return _export(caller, parts.exports(settings).get(caller, id))


def _export(caller: Tenant, export: DomainExport) -> Export:
    return Export(**vars(export), url=parts.exports(settings).link(caller, export))


@router.get("/api/training-data/{id}", summary="One data point with its quality and what people said of it")
def get(id: str, caller: Caller) -> Point:
    return _shown(parts.browser(settings).row(caller, id))


@router.delete("/api/training-data/{id}", summary="Delete a data point, and hear what it had touched")
def delete(id: str, caller: Operator) -> Deleted:
    touched = parts.erasure(settings).delete(caller, id, caller.id)
    return Deleted(ids=[id], touched=Touched(**vars(touched)))
