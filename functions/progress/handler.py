"""Log lines of running containers, from the CloudWatch Logs subscription, become the job's progress."""

from __future__ import annotations

from typing import Any

import orjson
from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent
from millrace.contract import Progress
from millrace.jobs import of_job_name
from millrace.settings import Training
from millrace.tenants import Tenant
from pydantic import ValidationError

from functions import parts
from functions.observability import logger

settings = Training.from_env()


def handler(event: dict[str, Any], context: Any) -> None:
    logs = CloudWatchLogsEvent(event).parse_logs_data()
    named = of_job_name(logs.log_stream.split("/", 1)[0])
    latest = _latest([entry.message for entry in logs.log_events])
    if named is None or latest is None:
        return
    job_id, attempt, stage = named
    jobs = parts.jobs(settings)
    active = jobs.locate(job_id)
    if active is None:
        logger.info("progress of a job that is over", job_id=job_id)
        return
    tenant = Tenant(active["tenant"])
    shown = jobs.get(tenant, job_id).progress
    if shown.get("stage") == stage and shown.get("step", 0) > latest.step:
        return  # batches may overtake one another
    jobs.note(tenant, job_id, attempt, {"progress": latest.model_dump() | {"stage": stage}})


def _latest(messages: list[str]) -> Progress | None:
    """The last progress line of a batch; whatever else a container prints is only log."""
    for message in reversed(messages):
        try:
            return Progress.model_validate(orjson.loads(message))
        except (orjson.JSONDecodeError, ValidationError):
            continue
    return None
