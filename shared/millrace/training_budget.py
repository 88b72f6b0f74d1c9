"""What a tenant's trainings may cost in a month, held before one is begun and settled when it has ended. AWS: DynamoDB.

One item a tenant and month: what is committed, and each open hold under its job's id. The hold is taken in the
transaction that makes the job, so two who begin at once cannot both have the last dollar; it is given back once.
Amounts are whole millionths of a dollar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from .clock import fresh_id
from .contract import Tier
from .errors import Conflict, Forbidden
from .table import Table, Write
from .tenants import Kind, Tenant

MILLIONTHS = 1_000_000
MONTHLY_USD: Mapping[Tier, float] = {
    Tier.FREE: 2.0,
    Tier.BASIC: 25.0,
    Tier.PROFESSIONAL: 250.0,
    Tier.ENTERPRISE: 5000.0,
}


@dataclass(frozen=True)
class TrainingBudget:
    table: Table

    def hold(self, tenant: Tenant, job_id: str, amount_usd: float, at: datetime) -> Write:
        """To be part of the transaction that makes the job. Forbidden where the month has no room for it now."""
        limit, amount = _millionths(MONTHLY_USD[tenant.tier]), _millionths(amount_usd)
        committed = int((self.table.get(*_key(tenant, at)) or {}).get("committed", 0))
        if committed + amount > limit:
            left = (limit - committed) / MILLIONTHS
            raise Forbidden(
                f"This training may cost up to {amount_usd:.2f} USD, and of the {limit / MILLIONTHS:.2f} USD that this "
                f"tenant's trainings may cost in {at:%B %Y} {max(0.0, left):.2f} USD are left. Give it a lower "
                "max_cost_usd, cancel another training, or wait for next month."
            )
        pk, sk = _key(tenant, at)
        return Write(
            "update", pk, sk, {_hold(job_id): amount}, add={"committed": amount}, at_most={"committed": limit - amount}
        )

    def settle(self, tenant: Tenant, job_id: str, created_at: str, spent_usd: float) -> None:
        """Put what it cost in the place of what was held; a repeat finds no hold and changes nothing."""
        pk, sk = _key(tenant, datetime.fromisoformat(created_at))
        held = (self.table.get(pk, sk) or {}).get(_hold(job_id))
        if held is None:
            return
        change, name = _millionths(spent_usd) - int(held), _hold(job_id)
        write = Write("update", pk, sk, {name: None}, add={"committed": change}, expect={name: held})
        try:
            self.table.update(write, op=fresh_id("settle-"))
        except Conflict:
            return  # somebody else settled it

    def held_usd(self, tenant: Tenant, job_id: str, created_at: str) -> float | None:
        """What is held for a job that has not been settled; None where nothing is."""
        held = (self.table.get(*_key(tenant, datetime.fromisoformat(created_at))) or {}).get(_hold(job_id))
        return None if held is None else int(held) / MILLIONTHS

    def committed_usd(self, tenant: Tenant, at: datetime) -> float:
        """Spent and held in the month of `at`."""
        return int((self.table.get(*_key(tenant, at)) or {}).get("committed", 0)) / MILLIONTHS


def _key(tenant: Tenant, at: datetime) -> tuple[str, str]:
    return tenant.pk(Kind.JOB_BUDGET, f"{at:%Y-%m}"), "month"


def _hold(job_id: str) -> str:
    return f"hold:{job_id}"


def _millionths(amount_usd: float) -> int:
    return round(amount_usd * MILLIONTHS)
