"""Every minute: jobs that are unfinished and that nobody works on are started, started again, or ended."""

from __future__ import annotations

from typing import Any

from millrace.contract import Tier
from millrace.errors import MillraceError
from millrace.settings import Training
from millrace.tenants import Tenant

from functions import parts
from functions.observability import logger

settings = Training.from_env()


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    jobs = parts.jobs(settings)
    done: dict[str, int] = {}
    for item in jobs.active():
        try:
            deed: str = jobs.sweep_one(Tenant(item["tenant"], Tier(item["tier"])), item["job_id"])
        except MillraceError as error:
            logger.warning("sweep failed", job_id=item["job_id"], reason=str(error))
            deed = "error"
        if deed != "left":
            logger.info("swept", job_id=item["job_id"], deed=deed)
        done[deed] = done.get(deed, 0) + 1
    return done
