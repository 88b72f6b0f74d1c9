"""When new data starts a training by itself. AWS: DynamoDB.

A tenant's policy is an item; where there is none the stage's threshold holds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .table import Table
from .tenants import Kind, Tenant


@dataclass(frozen=True)
class TrainingPolicy:
    threshold: int
    """New usable pairs since the last training that start the next; 0 never does."""
    strategy: str = "lora-sft"


def training_policy(table: Table, tenant: Tenant, default_threshold: int) -> TrainingPolicy:
    item = table.get(tenant.pk(Kind.POLICY), "training")
    if item is None:
        return TrainingPolicy(default_threshold)
    return TrainingPolicy(**{name: item[name] for name in TrainingPolicy.__dataclass_fields__ if name in item})


def set_training_policy(table: Table, tenant: Tenant, policy: TrainingPolicy) -> None:
    table.put({"pk": tenant.pk(Kind.POLICY), "sk": "training", **asdict(policy)})
