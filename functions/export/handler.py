"""New exports from the table's stream: each is written to its file."""

from __future__ import annotations

import time
from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
import millrace.exports  # noqa: F401 - needed at every event: loaded while the function starts
from millrace.errors import MillraceError
from millrace.settings import Storage
from millrace.tenants import Kind

from functions import parts, stream
from functions.observability import logger

settings = Storage.from_env()
RESERVE_S = 30
"""What the last rows, the end of the upload and the item may take."""


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    exports, count = parts.exports(settings), 0
    for tenant, item in stream.put(event, Kind.EXPORT):
        ends_at = time.time() + context.get_remaining_time_in_millis() / 1000 - RESERVE_S
        try:
            export = exports.write(tenant, item["id"], ends_at)
        except Exception as error:
            logger.warning(
                "export not written", export_id=item["id"], error=type(error).__name__, reason=_reason(error)
            )
            export = exports.fail(tenant, item["id"], error)
        logger.info("export ended", export_id=export.id, state=export.state, rows=export.rows)
        count += 1
    return {"written": count}


def _reason(error: Exception) -> str:
    """Others' errors may hold a text."""
    return str(error) if isinstance(error, MillraceError) else ""
