"""judge: keep what a round of a search showed; is another one worth it?"""

from __future__ import annotations

from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
import millrace.searching  # noqa: F401 - needed at every event: loaded while the function starts

from functions import parts
from functions.observability import logger
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    tenant, job_id, attempt = subject(event)
    pipeline, number = parts.pipeline(settings), int(event["round"])
    job = pipeline.working(tenant, job_id, attempt)
    results = pipeline.results_key(tenant, job, number)
    again = parts.searching(settings).judge(tenant, job, number, results)
    pipeline.jobs.note(tenant, job_id, attempt, {"stage": None if again else "train"})
    logger.info("round judged", job_id=job_id, round=number, again=again)
    return {"again": again}
