"""/api/drops: what became of dropped files, and which columns of theirs a tenant means."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from millrace.mapping import MAX_NAME, column_mapping, set_column_mapping
from pydantic import BaseModel, ConfigDict, StringConstraints

from functions import parts
from functions.gateway.caller import Caller, Editor
from functions.gateway.paging import Paged
from functions.gateway.shapes import Page, settings

router = APIRouter(tags=["drops"])
LINK_S = 900


class Refused(BaseModel):
    line: int
    """Line, or number of the record where a format has no lines."""
    reason: str
    file: str | None = None
    """Of an archive: the file inside."""


class Group(Refused):
    """Refusals that differ in figures alone; the line is the first one's."""

    count: int


class Drop(BaseModel):
    id: str
    key: str
    state: str
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    """While a drop is processed these say how far it is."""
    reasons: list[Refused] = []
    """The first of them; all stand in the report."""
    groups: list[Group] = []
    report: str | None = None
    """Key of the report in the data bucket."""
    dataset_id: str | None = None
    """What an archive of images became."""
    created_at: str
    concluded_at: str | None = None


class DropWithReport(Drop):
    report_url: str | None = None
    """Where the report can be fetched from, for 15 minutes."""


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]


class Mapping(BaseModel):
    """Names of columns, for those that are not the usual ones."""

    model_config = ConfigDict(extra="forbid")

    source: Name | None = None
    target: Name | None = None
    rejected: Name | None = None
    """Of preference pairs: the text that was not chosen."""
    messages: Name | None = None
    """Of chats."""


@router.get("/api/drops", summary="What became of dropped files, newest first")
def list_drops(caller: Caller, paging: Paged) -> Page[Drop]:
    items, following = parts.intake(settings).page(caller, paging.limit, paging.cursor)
    return paging.page([Drop.model_validate(item) for item in items], following)


@router.get("/api/drops/mapping", summary="Which columns of dropped files are meant, where they have unusual names")
def get_mapping(caller: Caller) -> Mapping:
    return Mapping.model_validate(column_mapping(parts.table(settings), caller))


@router.put("/api/drops/mapping", summary="Say which columns of the files to come are meant")
def put_mapping(mapping: Mapping, caller: Editor) -> Mapping:
    set_column_mapping(parts.table(settings), caller, mapping.model_dump(exclude_none=True))
    return mapping


@router.get("/api/drops/{id}", summary="What became of one dropped file, with a link to its report")
def get_drop(id: str, caller: Caller) -> DropWithReport:
    item: dict[str, Any] = parts.intake(settings).get(caller, id)
    link = parts.store(settings).link(item["report"], LINK_S) if item.get("report") else None
    return DropWithReport.model_validate({**item, "report_url": link})
