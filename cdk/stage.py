"""What differs between stages, and nothing else does. Every stage is account- and region-agnostic."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aws_cdk import RemovalPolicy, aws_logs
from millrace import providers
from millrace.addresses import Allowed
from millrace.errors import InvalidInput


@dataclass(frozen=True)
class Stage:
    """One place where the stack can stand."""

    name: str
    removal: RemovalPolicy
    """Of what holds data. A laptop's stack goes away whole."""
    log_retention: aws_logs.RetentionDays
    python: str
    """Version that the wheels of a Lambda asset are built for."""
    python_platform: str | None
    """uv's name of the platform of those wheels; None is this machine."""
    base_model: str
    instance_type: str = ""
    """Overrides what a strategy asks for."""
    train_threshold: int = 200
    max_jobs: int = 20
    """Trainings of all tenants at once; more wait their turn."""
    job_limit_s: int = 26 * 3600
    """A training job with its queueing; SageMaker's own stop comes from the plan and is shorter."""
    provider_urls: str = ""
    """Base URLs that take the place of the providers' own, for a proxy: "openai=https://proxy.example.com/v1,..."."""
    egress_allow: str = ""
    """Hosts (`name[:port]`) and networks (CIDR) that a custom URL may reach although they are private."""
    search_rounds: int = 100
    """Of one search at most: for so many its machine has time."""
    deploy_poll_s: int = 5
    deploy_polls: int = 360
    protect: bool = False
    """Deletion protection on the table and the stack."""
    budget_usd: int = 200
    """Monthly; the alarm goes off at 80 % of what is spent and at 100 % of what is forecast."""
    requests_per_s: int = 50
    request_burst: int = 100
    ingest_concurrency: int = 5
    rewrite_concurrency: int = 2
    """Jobs that are worked on at a time; the others wait in the queue."""
    unpack_concurrency: int = 40
    """Slices of one archive that are looked at at once."""
    reserved_concurrency: Mapping[str, int] = field(default_factory=dict)
    """Function name -> share of the account's concurrency that it alone may use, and no more than that."""

    @property
    def prefix(self) -> str:
        """Of every name that we choose: functions, the state machine, training jobs, models and endpoints."""
        return f"millrace-{self.name}"


_CLOUD_PYTHON = "3.13"
_CLOUD_PLATFORM = "x86_64-manylinux_2_28"

STAGES: Mapping[str, Stage] = {
    "local": Stage(
        name="local",
        removal=RemovalPolicy.DESTROY,
        log_retention=aws_logs.RetentionDays.ONE_WEEK,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        python_platform=None,
        base_model="millrace-tiny",
        instance_type="ml.local",
        max_jobs=4,
        job_limit_s=2 * 3600,
        deploy_poll_s=1,
        deploy_polls=300,
        unpack_concurrency=2,
    ),
    "dev": Stage(
        name="dev",
        removal=RemovalPolicy.DESTROY,
        log_retention=aws_logs.RetentionDays.ONE_MONTH,
        python=_CLOUD_PYTHON,
        python_platform=_CLOUD_PLATFORM,
        base_model="microsoft/Phi-3-mini-4k-instruct",
    ),
    "prod": Stage(
        name="prod",
        removal=RemovalPolicy.RETAIN,
        log_retention=aws_logs.RetentionDays.ONE_YEAR,
        python=_CLOUD_PYTHON,
        python_platform=_CLOUD_PLATFORM,
        base_model="microsoft/Phi-3-mini-4k-instruct",
        protect=True,
        budget_usd=2000,
        requests_per_s=200,
        request_burst=400,
        ingest_concurrency=20,
        rewrite_concurrency=10,
        reserved_concurrency={
            "gateway": 100,
            "stream": 50,
            "authorize": 100,
            "ingest": 20,
            "index": 20,
            "export": 10,
            "rewrite": 10,
            "unpack": 100,
            "progress": 20,
            "monitor": 2,
            **dict.fromkeys(("plan", "gate", "register", "deploy", "conclude", "propose", "judge"), 10),
        },
    ),
}


class WrongSetting(ValueError):
    """The environment gives a stage a value that it cannot have; the sentence names it."""


def stage(name: str, env: Mapping[str, str]) -> Stage:
    """A stage with what this shell sets: MILLRACE_ and the name of one of _SETTABLE."""
    if name not in STAGES:
        raise WrongSetting(f"There is no stage {name!r}; there are {', '.join(STAGES)}.")
    given: dict[str, Any] = {
        field: env[f"MILLRACE_{field.upper()}"] for field in _SETTABLE if f"MILLRACE_{field.upper()}" in env
    }
    threshold = given.pop("train_threshold", str(STAGES[name].train_threshold))
    if not threshold.isdecimal():
        raise WrongSetting(f"MILLRACE_TRAIN_THRESHOLD is a number of pairs, 0 for never, not {threshold!r}.")
    made = replace(STAGES[name], train_threshold=int(threshold), **given)
    try:
        providers.other_urls(made.provider_urls)
    except InvalidInput as error:
        raise WrongSetting(f"MILLRACE_PROVIDER_URLS: {error}") from error
    try:
        Allowed.parse(made.egress_allow)
    except ValueError as error:
        raise WrongSetting(f"MILLRACE_EGRESS_ALLOW is a comma list of hosts and CIDR networks: {error}.") from error
    return made


_SETTABLE = ("train_threshold", "base_model", "instance_type", "provider_urls", "egress_allow")
