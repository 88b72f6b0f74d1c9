"""plan: the model version, queued, and what each container of this attempt is given."""

from __future__ import annotations

from typing import Any

from functions import parts
from functions.steps.common import settings, subject


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return parts.pipeline(settings).plan(*subject(event))
