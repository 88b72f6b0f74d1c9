"""gate: may this candidate go on? `subject` is adapter or gguf."""

from __future__ import annotations

from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
import millrace.container  # noqa: F401 - needed at every event: loaded while the function starts

from functions import parts
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"passed": parts.pipeline(settings).gate(*subject(event), event["subject"]).passed}
