"""POST /api/models/{id}/classify."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from millrace.classifying import MAX_IMAGE_BYTES
from pydantic import BaseModel

from functions import parts
from functions.gateway.caller import Caller
from functions.gateway.shapes import settings

router = APIRouter(tags=["models"])


class Share(BaseModel):
    label: str
    share: float


class Response(BaseModel):
    model_id: str
    label: str
    """The likeliest class."""
    shares: list[Share]
    """Of every class, the largest first; together 1."""
    latency_ms: float


@router.post("/api/models/{id}/classify", summary="Which class does an image show? The body is its bytes")
def classify(
    id: str,
    caller: Caller,
    image: Annotated[bytes, Body(media_type="application/octet-stream", max_length=MAX_IMAGE_BYTES)],
) -> Response:
    """JPEG, PNG, WEBP, BMP or GIF. `id`: a version, such as digits@1, or a name, whose active version answers."""
    found = parts.classifying(settings).classify(caller, id, image)
    shares = [Share(label=label, share=share) for label, share in found.shares.items()]
    return Response(model_id=found.model_id, label=found.label, shares=shares, latency_ms=found.latency_ms)
