"""What every step of the state machine is given."""

from __future__ import annotations

from typing import Any

import millrace.pipeline  # noqa: F401 - needed at every event: loaded while the function starts
from millrace.settings import Steps
from millrace.tenants import Tenant

from functions import parts

settings = Steps.from_env()


def subject(event: dict[str, Any]) -> tuple[Tenant, str, int]:
    """Tenant, job and attempt of this execution."""
    owner = parts.jobs(settings).owner(event["job_id"])
    return owner or Tenant(event["tenant"]), event["job_id"], int(event["attempt"])
