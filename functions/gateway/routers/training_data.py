"""GET /api/training-data."""

from __future__ import annotations

from fastapi import APIRouter
from millrace.datapoints import DataPoint, split_of
from pydantic import BaseModel

from functions import parts
from functions.gateway.caller import Caller
from functions.gateway.paging import Paged
from functions.gateway.shapes import Figures, Page, settings

router = APIRouter(tags=["training data"])


class Point(BaseModel):
    id: str
    origin: str
    """answer, drop or edit."""
    source: str
    target: str
    split: str
    trains: bool
    created_at: str
    origin_ref: str
    model_id: str | None
    scores: Figures


def _shown(point: DataPoint) -> Point:
    return Point(split=split_of(point.source), trains=point.origin.trains, **_known(point.to_dict()))


def _known(values: Figures) -> Figures:
    return {name: value for name, value in values.items() if name in Point.model_fields}


@router.get("/api/training-data", summary="Data points, newest first")
def list_training_data(caller: Caller, paging: Paged) -> Page[Point]:
    points, following = parts.corpus(settings).page(caller, paging.limit, paging.cursor)
    return paging.page([_shown(point) for point in points], following)
