"""Lines of running containers, from the CloudWatch Logs subscription, become the job's progress, figures and log."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import orjson
from millrace.container import Metrics, Progress
from millrace.errors import NotFound
from millrace.joblog import Line
from millrace.jobs import of_job_name
from millrace.settings import Training
from millrace.tenants import Tenant
from pydantic import TypeAdapter, ValidationError

from functions import parts
from functions.observability import logger

settings = Training.from_env()
_spoken: TypeAdapter[Progress | Metrics] = TypeAdapter(Progress | Metrics)


def handler(event: dict[str, Any], context: Any) -> None:
    logs = orjson.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    jobs = parts.jobs(settings)
    named = of_job_name(jobs.prefix, logs["logStream"].split("/", 1)[0])
    tenant = jobs.owner(named[0]) if named else None
    if named is None or tenant is None:
        return
    job_id, attempt, part = named
    lines = [Line(entry["timestamp"], entry["id"], entry["message"]) for entry in logs["logEvents"]]
    figures = [(line, told) for line, told in zip(lines, map(_read, lines), strict=True) if isinstance(told, Progress)]
    plain = [line for line in lines if _read(line) is None]
    try:
        _progress(tenant, job_id, attempt, part, figures[-1] if figures else None)
    except NotFound:
        logger.info("lines of a job that is not there", job_id=job_id)
        return
    log = parts.joblog(settings)
    if figures:
        log.add_figures(tenant, job_id, attempt, part, figures)
    if plain:
        log.add(tenant, job_id, attempt, part, plain)


def _progress(tenant: Tenant, job_id: str, attempt: int, part: str, latest: tuple[Line, Progress] | None) -> None:
    """Batches may overtake one another. The time tells, for after a restart from a checkpoint a step comes again."""
    jobs = parts.jobs(settings)
    shown = jobs.get(tenant, job_id).progress
    if latest is None:
        return
    line, told = latest
    if shown.get("stage") == part and (shown.get("at_ms", 0), shown.get("step", 0)) > (line.at_ms, told.step):
        return
    jobs.note(tenant, job_id, attempt, {"progress": told.model_dump() | {"stage": part, "at_ms": line.at_ms}})


def _read(line: Line) -> Progress | Metrics | None:
    """A line of the contract; whatever else a container prints is its log."""
    try:
        return _spoken.validate_python(orjson.loads(line.text))
    except (orjson.JSONDecodeError, ValidationError):
        return None
