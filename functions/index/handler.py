"""New data points from the table's stream: rated, compared with those there are, and made findable."""

from __future__ import annotations

from typing import Any

import millrace.indexing  # noqa: F401 - needed at every event: loaded while the function starts
from millrace.datapoints import DataPoint
from millrace.errors import NotFound
from millrace.settings import Storage
from millrace.tenants import Kind, Tenant

from functions import parts, stream
from functions.observability import logger

settings = Storage.from_env()


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """A batch that fails comes again, halved: what was done is not done twice."""
    corpus, index = parts.corpus(settings), parts.index(settings)
    new: dict[Tenant, list[DataPoint]] = {}
    for tenant, item in stream.put(event, Kind.DATA_POINT):
        try:
            new.setdefault(tenant, []).append(corpus.read(item))
        except NotFound:
            logger.info("data point was deleted before it was indexed", data_point_id=item["id"])
    done = {tenant.id: index.take(tenant, points) for tenant, points in new.items()}
    if done:
        logger.info("data points indexed", count=sum(done.values()), tenants=len(done))
    return {"indexed": sum(done.values())}
