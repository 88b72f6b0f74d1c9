"""GET /api/system/health."""

from __future__ import annotations

import os

from fastapi import APIRouter, Response
from millrace import aws
from millrace.contract import DROP_PREFIX
from millrace.errors import MillraceError
from millrace.tenants import Kind, system_pk
from pydantic import BaseModel

from functions import parts
from functions.gateway.caller import Caller
from functions.gateway.shapes import settings

router = APIRouter(tags=["system"])


class Health(BaseModel):
    status: str
    """ok, or degraded where a dependency does not answer."""
    stage: str
    dependencies: dict[str, str]
    active_jobs: int | None
    drop_bucket: str
    drop_prefix: str
    table: str
    train_machine: str
    aws_endpoint: str | None = None
    """Where the twin answers for AWS; absent in the cloud."""


class Me(BaseModel):
    tenant: str
    tier: str
    roles: list[str]
    drop_prefix: str


@router.get("/api/me", summary="Who the key acts for")
def me(caller: Caller) -> Me:
    roles = sorted(map(str, caller.roles))
    return Me(tenant=caller.id, tier=str(caller.tier), roles=roles, drop_prefix=caller.drop_prefix)


@router.get(
    "/api/system/health", summary="Whether everything answers, and where things are", responses={503: {"model": Health}}
)
def health(response: Response) -> Health:
    dependencies: dict[str, str] = {}
    active = _active(dependencies)
    _bucket(dependencies)
    good = all(state == "ok" for state in dependencies.values())
    response.status_code = 200 if good else 503
    return Health(
        status="ok" if good else "degraded",
        stage=settings.stage,
        dependencies=dependencies,
        active_jobs=active,
        drop_bucket=settings.drop_bucket,
        drop_prefix=f"{DROP_PREFIX}<tenant>/",
        table=settings.table,
        train_machine=settings.train_machine,
        aws_endpoint=os.environ.get("AWS_ENDPOINT_URL") or None,
    )


def _active(dependencies: dict[str, str]) -> int | None:
    try:
        active = len(parts.table(settings).query(system_pk(Kind.ACTIVE_JOB)))
    except MillraceError:
        dependencies["table"] = "does not answer"
        return None
    dependencies["table"] = "ok"
    return active


def _bucket(dependencies: dict[str, str]) -> None:
    try:
        with aws.mapped("Looking for the data bucket"):
            aws.s3().head_bucket(Bucket=settings.data_bucket)
        dependencies["data_bucket"] = "ok"
    except MillraceError:
        dependencies["data_bucket"] = "does not answer"
