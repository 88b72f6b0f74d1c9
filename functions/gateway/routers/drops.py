"""GET /api/drops."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from functions import parts
from functions.gateway.caller import Caller
from functions.gateway.paging import Paged
from functions.gateway.shapes import Page, settings

router = APIRouter(tags=["drops"])


class Refused(BaseModel):
    line: int
    reason: str


class Drop(BaseModel):
    id: str
    key: str
    state: str
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    reasons: list[Refused] = []
    """The first of them; all stand in the report."""
    report: str | None = None
    """Key of the report in the data bucket."""
    created_at: str
    concluded_at: str | None = None


@router.get("/api/drops", summary="What became of dropped files, newest first")
def list_drops(caller: Caller, paging: Paged) -> Page[Drop]:
    items, following = parts.intake(settings).page(caller, paging.limit, paging.cursor)
    return paging.page([Drop.model_validate(item) for item in items], following)
