"""plan: the model version, queued, and what each container of this attempt is given."""

from __future__ import annotations

from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts

from functions import parts
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    tenant, job_id, attempt = subject(event)
    pipeline = parts.pipeline(settings)
    planned = pipeline.plan(tenant, job_id, attempt)
    if planned.get("kind") == "search" and parts.searching(settings).over(tenant, pipeline.jobs.get(tenant, job_id)):
        return planned | {"kind": "finish"}  # an earlier attempt did all the rounds
    return planned
