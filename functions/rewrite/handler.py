"""Rewrites from the queue: each message brings one slice of work on one job.

A message whose work failed comes again; after the last try the job is told to have failed, with the last reason.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
import orjson
from millrace.errors import MillraceError
from millrace.humanize import Humanizer
from millrace.rewrites import TRIES
from millrace.rewriting import Rewriting
from millrace.settings import Rewrite
from millrace.tenants import Tenant

from functions import answering, batch, parts
from functions.batch import Record, times
from functions.observability import logger

settings = Rewrite.from_env()
PARALLEL = 8
"""Paragraphs of one section at a time: nobody waits here, but an hour for a book is long."""


def handler(event: dict[str, Any], context: Any) -> Any:
    return batch.each(event, _record)


@cache
def _humanizer() -> Humanizer:
    books = answering.books(settings, settings.section_s)
    return answering.humanizer(settings, parts.catalogue(settings), answering.calls(settings), books, PARALLEL)


def _record(record: Record) -> None:
    message = orjson.loads(record["body"])
    last = times(record) > TRIES
    rewriting = Rewriting(parts.rewrites(settings), _humanizer())
    try:
        deed = rewriting.work(Tenant(message["tenant"]), message["id"], last)
    except MillraceError as error:
        logger.warning("rewrite not done", rewrite_id=message["id"], error=type(error).__name__, reason=str(error))
        raise
    logger.info("rewrite", rewrite_id=message["id"], deed=deed)
