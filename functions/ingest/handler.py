"""Drop-folder events from the queue: collect each object, then see whether a training is due.

Only the records that failed go back to the queue.
"""

from __future__ import annotations

from typing import Any

import orjson
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from millrace.access import Access
from millrace.errors import InvalidInput, MillraceError
from millrace.intake import Dropped
from millrace.policies import training_policy
from millrace.settings import Ingest
from millrace.tenants import Tenant, of_drop_key

from functions import parts
from functions.observability import logger

settings = Ingest.from_env()
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def handler(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event=event, record_handler=_record, processor=processor, context=context)


def _record(record: SQSRecord) -> None:
    detail = orjson.loads(record.body)["detail"]
    dropped = Dropped(detail["bucket"]["name"], detail["object"]["key"], detail["object"].get("version-id") or "")
    if dropped.key.endswith("/"):
        return  # a folder made in the console of S3
    try:
        tenant = of_drop_key(dropped.key)
    except InvalidInput as error:
        logger.warning("object outside of every tenant's drop folder", reason=str(error))
        return
    try:
        _collect(tenant, dropped)
    except MillraceError as error:
        # Powertools keeps the record for another try and says nothing about why.
        logger.warning("drop not collected", drop_id=dropped.id, error=type(error).__name__, reason=str(error))
        raise


def _collect(tenant: Tenant, dropped: Dropped) -> None:
    report = parts.intake(settings).collect(tenant, dropped)
    if report is not None:
        logger.info("drop collected", drop_id=dropped.id, accepted=report.accepted, rejected=report.rejected)
    tenant = Access(parts.table(settings)).known(tenant)
    policy = training_policy(parts.table(settings), tenant, settings.train_threshold)
    job = parts.training(settings).begin_if_due(tenant, policy.threshold, policy.strategy)
    if job is not None:
        logger.info("training begun by policy", job_id=job.id)
