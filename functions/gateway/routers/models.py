"""/api/models."""

from __future__ import annotations

from fastapi import APIRouter
from millrace.models import Model as DomainModel
from pydantic import BaseModel

from functions import parts
from functions.gateway.caller import Caller
from functions.gateway.paging import Paged
from functions.gateway.shapes import Figures, Page, settings

router = APIRouter(tags=["models"])


class Model(BaseModel):
    id: str
    name: str
    state: str
    strategy: str
    version: int
    metrics: Figures
    lineage: Figures
    hyperparameters: Figures
    artifacts: list[Figures]
    endpoint: str | None
    error: str | None
    created_at: str
    updated_at: str | None


def _shown(model: DomainModel) -> Model:
    return Model.model_validate({name: value for name, value in model.shown().items() if name in Model.model_fields})


@router.get("/api/models", summary="Model versions, newest first")
def list_models(caller: Caller, paging: Paged) -> Page[Model]:
    models, following = parts.registry(settings).page(caller, paging.limit, paging.cursor)
    return paging.page([_shown(model) for model in models], following)


@router.get("/api/models/{id}", summary="One model version with figures, artifacts and lineage")
def get(id: str, caller: Caller) -> Model:
    return _shown(parts.registry(settings).get(caller, id))
