"""deploy: `start` puts the version behind its endpoint, `check` looks whether it serves and then lets it answer."""

from __future__ import annotations

from typing import Any

import botocore.session  # noqa: F401 - asks SageMaker at every event: loaded while the function starts
import millrace.deployment  # noqa: F401 - needed at every event: loaded while the function starts

from functions import parts
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    deployment = parts.deployment(settings)
    if event["action"] == "start":
        return {"endpoint": deployment.start(*subject(event))}
    return {"status": deployment.check(*subject(event))}
