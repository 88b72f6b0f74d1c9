"""Records of the table's stream: the items that were put, by the tenant whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from millrace.contract import SYSTEM
from millrace.table import Item
from millrace.tenants import Kind, Tenant
from millrace.typed import decode


def put(event: Mapping[str, Any], kind: Kind) -> Iterator[tuple[Tenant, Item]]:
    """Bodies of one kind that are new. The event source filters too; what it cannot tell apart is left out here."""
    for record in event["Records"]:
        image = record["dynamodb"].get("NewImage")
        if record["eventName"] != "INSERT" or not image or image["sk"].get("S") != "body":
            continue
        owner, _, rest = image["pk"]["S"].partition("#")
        if owner != SYSTEM and rest.startswith(f"{kind}#"):
            yield Tenant(owner), decode(image)
