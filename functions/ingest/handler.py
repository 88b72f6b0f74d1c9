"""Drop-folder events from the queue: collect each object, then see whether a training is due.

Only the records that failed go back to the queue, and come again soon. While a drop is worked on its event is hidden
for little longer than its lease, so that what a killed worker left is taken up within a minute; a drop that needs more
time than this function has goes on by an event of its own.
"""

from __future__ import annotations

import time
from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
import millrace.datasets.dropped  # noqa: F401 - needed at every event: loaded while the function starts
import orjson
from millrace.access import Access
from millrace.contract import DropState
from millrace.errors import InvalidInput, MillraceError
from millrace.intake import LEASE_S, Dropped
from millrace.settings import Ingest
from millrace.tenants import Tenant, of_drop_key

from functions import batch, parts
from functions.batch import Record, times
from functions.collecting import train_if_due
from functions.observability import logger

settings = Ingest.from_env()

HIDDEN_S = 2 * LEASE_S
"""Renewed with every checkpoint."""
RESERVE_S = 30
"""What the last block, the checkpoint and a report may take."""
_BACKOFF_S = (5, 15, 60, 180)
"""Until a record that failed comes again, by how often it came."""


def handler(event: dict[str, Any], context: Any) -> Any:
    def left_s() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000 - RESERVE_S

    return batch.each(event, lambda record: _record(record, left_s()))


def _record(record: Record, left_s: float) -> None:
    event = orjson.loads(record["body"])
    detail = event["detail"]
    dropped = Dropped(detail["bucket"]["name"], detail["object"]["key"], detail["object"].get("version-id") or "")
    if dropped.key.endswith("/"):
        return  # a folder made in the console of S3
    try:
        tenant = of_drop_key(dropped.key)
    except InvalidInput as error:
        logger.warning("object outside of every tenant's drop folder", reason=str(error))
        return
    try:
        _collect(tenant, dropped, record, event, left_s)
    except MillraceError as error:
        logger.warning("drop not collected", drop_id=dropped.id, error=type(error).__name__, reason=str(error))
        _hide(record, _BACKOFF_S[min(times(record), len(_BACKOFF_S)) - 1])
        raise


def _collect(tenant: Tenant, dropped: Dropped, record: Record, event: dict[str, Any], left_s: float) -> None:
    def alive() -> None:
        _hide(record, HIDDEN_S)

    alive()
    dataset = parts.dropped_images(settings).take(tenant, dropped, alive)
    if dataset is not None:
        logger.info("drop became a dataset", drop_id=dropped.id, dataset_id=dataset.id)
        return
    report = parts.collecting(settings).collect(tenant, dropped, time.time() + left_s, alive)
    if report is not None and report.state is DropState.PROCESSING:
        parts.ingest_queue(settings).send(event)
        logger.info("drop goes on", drop_id=dropped.id, accepted=report.accepted, rejected=report.rejected)
        return
    if report is not None:
        logger.info("drop collected", drop_id=dropped.id, accepted=report.accepted, rejected=report.rejected)
    tenant = Access(parts.table(settings)).known(tenant)
    train_if_due(settings, tenant, again=True)


def _hide(record: Record, for_s: int) -> None:
    """A better moment to come again; where the queue does not take it, the message comes at its own."""
    try:
        parts.ingest_queue(settings).hide(record.get("receiptHandle") or "", for_s)
    except MillraceError as error:
        logger.debug("message not hidden", reason=str(error))
