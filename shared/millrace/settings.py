"""Configuration, defined once: a frozen dataclass per function, read by the function and filled by the stack.

Field `table` is environment variable MILLRACE_TABLE. Values are text; a mapping travels as JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from .errors import MillraceError


class MissingSettings(MillraceError):
    """The environment lacks names that this function cannot do without."""

    code = "missing-settings"


@dataclass(frozen=True)
class Settings:
    """Base: to and from environment variables."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Every missing name is told in one message."""
        env = os.environ if env is None else env
        missing = [_env_name(f.name) for f in fields(cls) if _required(f) and _env_name(f.name) not in env]
        if missing:
            raise MissingSettings(f"{cls.__name__} needs {', '.join(missing)} in the environment.")
        return cls(**{f.name: _parse(f, env[_env_name(f.name)]) for f in fields(cls) if _env_name(f.name) in env})

    def to_env(self) -> dict[str, str]:
        """What the stack gives the function. Values may be CDK tokens, which are text too."""
        return {_env_name(f.name): _text(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class Storage(Settings):
    """Where everything of a tenant lies."""

    stage: str
    table: str
    data_bucket: str


@dataclass(frozen=True)
class Training(Storage):
    """Also able to start the `train` state machine."""

    train_machine: str
    """ARN."""
    train_threshold: int = 200
    """New usable data points that start a training when the tenant's policy names no other number."""
    max_jobs: int = field(default=20, kw_only=True)
    """Trainings of all tenants that work at once; more wait their turn."""
    base_model: str = field(default="millrace-tiny", kw_only=True)
    """What is fine-tuned where a training needs a base."""
    instance_type: str = field(default="", kw_only=True)
    """Overrides what a strategy asks for; the twin sets ml.local."""


@dataclass(frozen=True)
class Unpack(Storage):
    """Also able to start the `unpack` state machine."""

    unpack_machine: str = field(kw_only=True)
    """ARN."""


@dataclass(frozen=True)
class Monitor(Training, Unpack):
    """The sweeper."""


@dataclass(frozen=True)
class Providers(Settings):
    """What it takes to call a model of somebody else."""

    provider_secret: str = field(kw_only=True)
    """Name of the Secrets Manager secret that holds {"OPENAI_API_KEY": "...", ...}."""
    provider_urls: str = field(default="", kw_only=True)
    """Base URLs that take the place of the providers' own, for a proxy: "openai=https://proxy.example.com/v1,..."."""
    egress_allow: str = field(default="", kw_only=True)
    """Hosts (`name[:port]`) and networks (CIDR) that a custom URL may reach although they are private."""


@dataclass(frozen=True)
class Gateway(Training, Unpack, Providers):
    drop_bucket: str = field(kw_only=True)
    rewrite_queue: str = field(kw_only=True)
    """URL of the queue of rewrites that nobody waits for."""
    cursor_secret: str = field(kw_only=True)
    """Name of the Secrets Manager secret whose text signs the cursors of lists."""
    deadline_s: float = field(default=25.0, kw_only=True)


@dataclass(frozen=True)
class Rewrite(Storage, Providers):
    """Works on rewrites that nobody waits for."""

    rewrite_queue: str = field(kw_only=True)
    section_s: float = field(default=60.0, kw_only=True)
    """Deadline of one section."""


@dataclass(frozen=True)
class Ingest(Training, Unpack):
    drop_bucket: str = field(kw_only=True)
    ingest_queue: str = field(kw_only=True)
    """URL of the queue that the events come from: what takes longer than a function may goes on by it."""


@dataclass(frozen=True)
class Steps(Training):
    """The tasks of the state machine."""

    images: Mapping[str, str] = field(kw_only=True, hash=False)
    """Container name -> image URI: lora, gguf, serve."""
    training_role: str = field(kw_only=True)
    """ARN that training jobs and endpoints run under."""
    kms_key: str = field(kw_only=True)
    """ARN of the key that volumes and results are encrypted with."""


@dataclass(frozen=True)
class Propose(Steps, Providers):
    """The step of a search that may ask a language model."""

    ask_s: float = field(default=90.0, kw_only=True)
    """Deadline of one question."""


def _env_name(name: str) -> str:
    return f"MILLRACE_{name.upper()}"


def _required(f: Any) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _text(value: Any) -> str:
    return json.dumps(dict(value), sort_keys=True) if isinstance(value, Mapping) else str(value)


def _parse(f: Any, text: str) -> Any:
    """Annotations are text here (`from __future__ import annotations`)."""
    if f.type == "int":
        return int(text)
    if f.type == "float":
        return float(text)
    if str(f.type).startswith("Mapping"):
        return json.loads(text)
    return text
