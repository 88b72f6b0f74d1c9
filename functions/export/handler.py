"""New exports from the table's stream: each is written to its file."""

from __future__ import annotations

from typing import Any

from millrace.settings import Storage
from millrace.tenants import Kind

from functions import parts, stream
from functions.observability import logger

settings = Storage.from_env()


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    exports, count = parts.exports(settings), 0
    for tenant, item in stream.put(event, Kind.EXPORT):
        export = exports.write(tenant, item["id"])
        logger.info("export written", export_id=export.id, state=export.state, rows=export.rows)
        count += 1
    return {"written": count}
