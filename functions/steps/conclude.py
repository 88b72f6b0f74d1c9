"""conclude: the one end of every execution: completed, refused, or failed with a sentence."""

from __future__ import annotations

from typing import Any

from functions import parts
from functions.observability import logger
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    job = parts.pipeline(settings).conclude(*subject(event), event["outcome"], event.get("error"))
    logger.info("job concluded", job_id=job.id, state=str(job.state), outcome=event["outcome"])
    return {"state": str(job.state)}
