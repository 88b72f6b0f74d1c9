"""The report of a drop that became a dataset, and its event, where and as every drop has them.

AWS: DynamoDB, S3, EventBridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..artifacts import Store
from ..clock import fresh_id, stamp
from ..contract import DatasetState, DropState, EventType
from ..drops import Refusal
from ..errors import Conflict
from ..events import Events
from ..intake import collected
from ..reports import Report, Reports
from ..table import Table, Write
from ..tenants import Kind, Tenant
from .dataset import Dataset


def report_drop(
    table: Table,
    store: Store,
    tenant: Tenant,
    dataset: Dataset,
    state: DatasetState,
    values: Mapping[str, Any],
    rejected: Iterable[Mapping[str, str]],
    events: Events | None = None,
) -> None:
    """Written before the dataset's conclusion, so that no concluded one is without; a repeat writes the same.

    `values`: what the conclusion sets. `rejected`: path and reason of the first files that were left out.
    """
    pk = tenant.pk(Kind.DROP, dataset.drop_id)
    item = table.get(pk, "body")
    if item is None:
        return
    report = Report(item["id"], item["key"], item["version"], DropState.COLLECTED)
    report.refuse(Refusal(0, each["reason"], each["path"]) for each in rejected)
    if state is DatasetState.READY:
        report.accepted, report.rejected = values["total_samples"], values["summary"]["rejections"]
    else:
        report.state = DropState.REFUSED
        report.refuse(Refusal(0, reason["text"]) for reason in values["reasons"] if not report.rejected)
    told: dict[str, Any] = {"state": str(report.state), "concluded_at": stamp(), "told": True}
    told |= {"accepted": report.accepted, "rejected": report.rejected}
    told["report"] = Reports(store).write(tenant, report, int(item["epoch"]))
    try:
        table.update(Write("update", pk, "body", told, expect={"dataset_id": dataset.id}), op=fresh_id("images-"))
    except Conflict:
        return  # the drop's item has gone meanwhile
    if events is not None:
        events.tell(tenant, EventType.DROP_COLLECTED, report.drop_id, report.key, collected({**item, **told}))
