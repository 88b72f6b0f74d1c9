"""A world whose data points have been indexed, as the stream would have it."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.browsing import Browser, Filters, Row
from millrace.contract import Tier
from millrace.datapoints import DataPoint, Origin, content_id
from millrace.indexing import Index
from millrace.tenants import Tenant

from tests.fakes import World

ACME, OTHER = Tenant("acme", Tier.ENTERPRISE), Tenant("other", Tier.ENTERPRISE)
SUBJECTS = "server bakery ledger orchard ferry museum tractor violin harbour glacier".split()


def pair(number: int, origin: Origin = Origin.DROP, ref: str = "dr1") -> DataPoint:
    subject = SUBJECTS[number % len(SUBJECTS)]
    source = f"Moreover, it is important to note that the {subject} utilizes unit{number} and crate{number * 7} daily."
    target = f"The {subject} uses unit{number} and crate{number * 7} daily."
    at = f"2026-{1 + number % 9:02}-{1 + number % 28:02}T00:00:{number % 60:02}.{number % 1000:03}Z"
    return DataPoint(content_id(source, target), origin, source, target, at, f"{ref}#{number}")


def bring(world: World, points: Sequence[DataPoint], tenant: Tenant = ACME) -> None:
    """Store, and index in the stream's batches."""
    for at in range(0, len(points), 90):
        world.corpus.add_counted(tenant, points[at : at + 90])
        Index(world.table).take(tenant, points[at : at + 90])


def every(world: World, filters: Filters, limit: int = 7, tenant: Tenant = ACME) -> list[Row]:
    """All pages of a list."""
    rows, cursor = Browser(world.corpus).page(tenant, filters, limit, None)
    while cursor is not None:
        more, cursor = Browser(world.corpus).page(tenant, filters, limit, cursor)
        assert len(more) <= limit
        rows += more
    return rows
