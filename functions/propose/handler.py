"""propose: what the next round of a search tries. The one step that may ask a language model of somebody else."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
import millrace.pipeline
import millrace.searching  # noqa: F401 - needed at every event: loaded while the function starts
from millrace.advisers import Advisers
from millrace.settings import Propose
from millrace.talking import Talking
from millrace.tenants import Tenant
from millrace.training import channel_key
from millrace.usage import Usage

from functions import answering, parts
from functions.observability import logger

settings = Propose.from_env()


@cache
def advisers() -> Advisers:
    catalogue, calls = parts.catalogue(settings), answering.calls(settings)
    usage = Usage(parts.table(settings))
    return Advisers(Talking(catalogue, settings.ask_s, calls, answering.obstacle, usage))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    job_id, attempt = event["job_id"], int(event["attempt"])
    tenant = parts.jobs(settings).owner(job_id) or Tenant(event["tenant"])
    pipeline = parts.pipeline(settings)
    job = pipeline.working(tenant, job_id, attempt)
    made = parts.searching(settings, advisers().asker).propose(tenant, job, channel_key(tenant, job.dataset_id))
    if made.empty:
        pipeline.jobs.note(tenant, job_id, attempt, {"stage": "train"})
        logger.info("nothing new to try", job_id=job_id, round=made.number)
        return {"kind": "finish", "number": made.number, "trials": {}}
    pipeline.jobs.note(tenant, job_id, attempt, {"round": made.number, "stage": f"trials{made.number}"})
    logger.info("round proposed", job_id=job_id, round=made.number, source=made.source, refused=made.refused)
    return {
        "kind": "trials",
        "number": made.number,
        "trials": vars(pipeline.trials(tenant, job, made.number, made.proposals)),
    }
