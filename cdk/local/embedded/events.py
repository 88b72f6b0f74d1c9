"""What events carry in AWS and ministack leaves out: versions of objects, JSON filters of log subscriptions."""

from __future__ import annotations

import contextvars
import json
from typing import Any

from .patterns import matches

_version: contextvars.ContextVar[str | None] = contextvars.ContextVar("version", default=None)


def install() -> None:
    from ministack.services import cloudwatch_logs, eventbridge, s3

    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event
    plain = cloudwatch_logs._subscription_pattern_matches

    def fire_with_version(*args: Any, version_id: str | None = None, **more: Any) -> None:
        token = _version.set(version_id)
        try:
            fire(*args, version_id=version_id, **more)
        finally:
            _version.reset(token)

    def dispatch_with_version(event: dict[str, Any], *args: Any, **more: Any) -> Any:
        if event.get("Source") == "aws.s3" and (version := _version.get()):
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *args, **more)

    s3._fire_s3_event = fire_with_version
    eventbridge._dispatch_event = dispatch_with_version
    cloudwatch_logs._subscription_pattern_matches = lambda pattern, message: (
        matches(pattern, message or "") if (pattern or "").lstrip().startswith("{") else plain(pattern, message)
    )
