"""Every string and shape that leaves a process: keys, folders, events, container files, progress lines.

Two programs agree here or in `container`, which has what a container says, or nowhere. Nothing in this module does
anything.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

# --- tenants and keys -------------------------------------------------------------------------------------------------
TENANT_PATTERN: Final = re.compile(r"^[a-z][a-z0-9-]{2,31}$")
SYSTEM: Final = "@system"
"""Owner of what belongs to nobody: the catalogue, API keys, breakers, the list of active jobs."""

DROP_PREFIX: Final = "drop/"
"""Watched: an object under drop/<tenant>/ is collected. Nothing of ours is ever written below it."""
TENANTS_PREFIX: Final = "tenants/"

DATASETS_FOLDER: Final = "datasets"
ARCHIVE: Final = "channel/archive.zip"
"""Watched: tenants/<tenant>/datasets/<id>/channel/archive.zip begins its intake. Nothing else of ours has that name."""

# --- events -----------------------------------------------------------------------------------------------------------
EVENT_SOURCE: Final = "millrace"


class EventType(StrEnum):
    """`detail-type` of what we put on EventBridge; the detail is a CloudEvent."""

    DROP_COLLECTED = "millrace.drop.collected"
    JOB_CONCLUDED = "millrace.job.concluded"
    MODEL_DEPLOYED = "millrace.model.deployed"


# --- states -----------------------------------------------------------------------------------------------------------
class JobState(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class ModelState(StrEnum):
    DRAFT = "draft"
    QUEUED = "queued"
    TRAINING = "training"
    READY = "ready"
    ACTIVE = "active"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Its training was called off."""


class DropState(StrEnum):
    RECEIVED = "received"
    PROCESSING = "processing"
    COLLECTED = "collected"
    REFUSED = "refused"
    """Nothing in it could be used; the report says why."""


class DatasetState(StrEnum):
    DRAFT = "draft"
    """Nothing uploaded yet, or not all of it."""
    PROCESSING = "processing"
    READY = "ready"
    ERROR = "error"
    """Refused or failed; the reasons say why, and a new archive may be sent."""


class Tier(StrEnum):
    FREE = "FREE"
    BASIC = "BASIC"
    PROFESSIONAL = "PROFESSIONAL"
    ENTERPRISE = "ENTERPRISE"


# --- the container contract (SageMaker's layout, for every executor) --------------------------------------------------
CONTAINER_ROOT: Final = "/opt/ml"
HYPERPARAMETERS: Final = "input/config/hyperparameters.json"
"""A flat object; every value is a JSON-encoded string, as SageMaker has it: {"rank": "16", "model": "\\"phi-3\\""}."""
DATA: Final = "input/data"
CHANNELS: Final = ("train", "validation", "test", "base", "model", "proposals", "trials")
CHECKPOINTS: Final = "checkpoints"
MODEL: Final = "model"
FAILURE: Final = "output/failure"
"""One sentence; SageMaker shows it as FailureReason."""
OUT_OF_MEMORY: Final = "OutOfMemory:"
"""How the sentence of a container that lacked memory begins; `ladder` says what to try next."""
MANIFEST: Final = "manifest.json"
"""Written last, in MODEL: a result without it is not a result."""
STRATEGY: Final = "strategy"
"""The hyperparameter that says which of a container's entries runs."""

MODEL_FORMATS: Final = ("adapter", "hf", "gguf", "evaluation", "trials", "cnn", "weights")
