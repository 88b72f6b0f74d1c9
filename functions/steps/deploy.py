"""deploy: `start` puts the version behind its endpoint, `check` looks whether it serves and then lets it answer."""

from __future__ import annotations

from typing import Any

from functions import parts
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    deployment = parts.deployment(settings)
    tenant, job_id, _ = subject(event)
    if event["action"] == "start":
        return {"endpoint": deployment.start(tenant, job_id)}
    return {"status": deployment.check(tenant, job_id)}
