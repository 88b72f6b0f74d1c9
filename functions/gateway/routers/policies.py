"""/api/policies: when new data trains by itself, and what is kept of texts."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from millrace.datapoints import check_unicode
from millrace.datapolicy import MAX_CONSENT, DataPolicy, data_policy, set_data_policy
from millrace.policies import MOST_PER_MONTH, TrainingPolicy
from pydantic import BaseModel, ConfigDict, Field

from functions import parts
from functions.gateway.caller import Caller, Operator
from functions.gateway.shapes import settings

router = APIRouter(tags=["policies"])

Kind = Literal["email", "iban", "card", "person_number", "ip", "birth_date", "address", "phone", "name"]


class Training(BaseModel):
    """PUT replaces it whole; `version` is the one that was read, so that nobody's change is lost."""

    model_config = ConfigDict(extra="forbid")  # a limit that was misspelt must not be none

    threshold: int = Field(ge=0, le=10_000_000)
    """New usable pairs since the last training that start the next; 0 never does."""
    strategy: str = Field("lora-sft", max_length=64)
    schedule: str = Field("", max_length=40, examples=["every 6 hours", "daily 03:00", "weekly mon 03:00"])
    """When all that is new is trained on, however little it is; UTC. Empty is never."""
    on_drift: bool = False
    max_per_month: int = Field(100, ge=0, le=MOST_PER_MONTH)
    """Trainings that this policy begins in a calendar month."""
    gate: dict[str, float] = Field(default_factory=dict, max_length=20, examples=[{"edit_rate": 0.6}])
    """Bounds of the gate that take the place of its own, by metric."""
    version: int = Field(0, ge=0, le=2**31)


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid")

    capture: bool = True
    """Whether answers are kept as data points."""
    mask: list[Kind] = Field(default_factory=list, max_length=20)
    """Kinds of personal data that are masked before anything is stored."""
    consent: str = Field("", max_length=MAX_CONSENT)
    """On what ground texts are kept; recorded with each data point."""
    min_quality: float = Field(0.5, ge=0, le=1, strict=True)
    """Examples that are worse train nothing."""
    near_duplicates: bool = True
    """Whether several near duplicates may train, or only the best of them."""


def _shown(policy: DataPolicy) -> Data:
    values: dict[str, Any] = {name: getattr(policy, name) for name in Data.model_fields}
    return Data(**values | {"mask": list(policy.mask)})


@router.get("/api/policies/training", summary="When new data starts a training by itself")
def training(caller: Caller) -> Training:
    return Training(**vars(parts.collection(settings).policy(caller)))


@router.put("/api/policies/training", summary="Say when new data starts a training by itself")
def set_training(policy: Training, caller: Operator) -> Training:
    return Training(**vars(parts.collection(settings).set(caller, TrainingPolicy(**policy.model_dump()))))


@router.get("/api/policies/data", summary="What is kept of texts, and which examples train")
def data(caller: Caller) -> Data:
    return _shown(data_policy(parts.table(settings), caller))


@router.put("/api/policies/data", summary="Say what is kept of texts, and which examples train")
def set_data(policy: Data, caller: Operator) -> Data:
    """It holds everywhere within a quarter of a minute."""
    check_unicode("consent", policy.consent)
    kept = DataPolicy(**policy.model_dump() | {"mask": tuple(dict.fromkeys(policy.mask))})
    set_data_policy(parts.table(settings), caller, kept)
    parts.policies(settings).forget(caller)
    return _shown(kept)
