"""Records of a queue, each for itself: those that failed are named to Lambda, and only they come again. Powertools'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord as Record
from millrace.errors import MillraceError

from functions.observability import logger

__all__ = ["Record", "each", "times"]


class _Told(BatchProcessor):
    """`work` says itself what it could not do; what nobody foresaw is said here, of which Powertools says nothing."""

    def failure_handler(self, record: Any, exception: Any) -> Any:
        error = exception[1]
        if not isinstance(error, MillraceError):
            logger.error("record failed", error=type(error).__name__, message_id=record.message_id)
        return super().failure_handler(record, exception)


def each(event: Mapping[str, Any], work: Callable[[Record], None]) -> Any:
    """The reply that Lambda wants."""
    processor = _Told(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event=dict(event), record_handler=work, processor=processor)


def times(record: Record) -> int:
    """How often it has come, this time included."""
    return int((record.get("attributes") or {}).get("ApproximateReceiveCount", 1))
