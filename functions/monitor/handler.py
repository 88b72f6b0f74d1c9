"""Every minute: jobs and datasets that nobody works on are started, started again, or ended; who waits gets a place.

Schedules that are due begin their training. The catalogue that everybody begins with is put there after each
deployment, and the ends of its models are told hourly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import millrace.admission
import millrace.datasets.repository
import millrace.deployment
import millrace.policies  # noqa: F401 - needed at every event: loaded while the function starts
from millrace import clock
from millrace.clock import stamp
from millrace.contract import Tier
from millrace.errors import MillraceError
from millrace.settings import Monitor
from millrace.tenants import Tenant

from functions import parts
from functions.monitor.models import Models
from functions.observability import logger

settings = Monitor.from_env()
models = Models()


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    jobs, datasets = parts.jobs(settings), parts.datasets(settings, concluding=True)
    done: dict[str, int] = {}
    sweep_job = parts.sweep(settings)
    for item in jobs.active():
        _sweep(done, item, "job_id", sweep_job)
    for item in datasets.active():
        _sweep(done, item, "dataset_id", lambda tenant, id: datasets.sweep_one(tenant, id, stamp()))
    if admitted := parts.admission(settings).admit():
        logger.info("admitted", job_ids=admitted)
    for tenant_id, begun in _on_time().items():
        logger.info("schedule fired", tenant=tenant_id, job_id=begun)
    models.tend(parts.table(settings), stamp()[:13])
    return done


def _sweep(done: dict[str, int], item: dict[str, Any], name: str, sweep: Callable[[Tenant, str], str]) -> None:
    """One of them; what goes wrong with it keeps nobody from the next."""
    try:
        deed = sweep(Tenant(item["tenant"], Tier(item["tier"])), item[name])
    except MillraceError as error:
        logger.warning("sweep failed", error=type(error).__name__, reason=str(error), **{name: item[name]})
        deed = "error"
    if deed != "left":
        logger.info("swept", deed=deed, **{name: item[name]})
    done[deed] = done.get(deed, 0) + 1


def _not_fired(tenant_id: str, error: MillraceError) -> None:
    logger.warning("schedule did not fire", tenant=tenant_id, error=type(error).__name__, reason=str(error))


def _on_time() -> dict[str, str | None]:
    """Trainings that are due by the tenants' schedules; one that fails is put off and keeps nobody from theirs."""
    try:
        return parts.collection(settings).on_time(clock.now(), _not_fired)
    except MillraceError as error:
        logger.warning("schedules were not looked at", reason=str(error))
        return {}
