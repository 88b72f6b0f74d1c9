"""register: the version becomes ready, with figures, artifacts and lineage."""

from __future__ import annotations

from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
import millrace.container  # noqa: F401 - needed at every event: loaded while the function starts

from functions import parts
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"model_id": parts.pipeline(settings).register(*subject(event)).id}
