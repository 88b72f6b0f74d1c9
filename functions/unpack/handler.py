"""The intake of image archives: a new archive's event begins it, and the state machine `unpack` calls each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.session  # noqa: F401 - asks S3 at every event: loaded while the function starts
from millrace.datasets.dataset import of_archive_key
from millrace.datasets.intake import Intake
from millrace.errors import InvalidInput, NotFound
from millrace.settings import Unpack
from millrace.tenants import Tenant

from functions import parts
from functions.observability import logger

settings = Unpack.from_env()
RESERVE_S = 60
"""What the last image, its neighbours' bytes and writing down what was seen may take."""


def handler(event: dict[str, Any], context: Any) -> Any:
    if "detail" in event:
        return _arrived(event["detail"])
    tenant, id, attempt = Tenant(event["tenant"]), event["dataset_id"], int(event["attempt"])

    def left_s() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000 - RESERVE_S

    return STEPS[event["step"]](parts.images(settings, concluding=True), (tenant, id, attempt), event, left_s)


def _arrived(detail: dict[str, Any]) -> None:
    """An archive lies in its place, however it came there."""
    try:
        named = of_archive_key(detail["object"]["key"])
        if named is not None:
            version, size = detail["object"].get("version-id") or "", int(detail["object"]["size"])
            dataset = parts.datasets(settings).begin(*named, version, size)
            logger.info("intake begun", dataset_id=dataset.id, state=str(dataset.state))
    except (InvalidInput, NotFound) as error:
        logger.warning("archive of no dataset", reason=str(error))


Work = tuple[Tenant, str, int]
Left = Callable[[], float]
"""Seconds that a step may still take."""


def _plan(intake: Intake, work: Work, event: dict[str, Any], left_s: Left) -> dict[str, Any]:
    return intake.plan(*work)


def _look(intake: Intake, work: Work, event: dict[str, Any], left_s: Left) -> dict[str, Any]:
    return {"outcome": "done" if intake.look(*work, int(event["slice"]), left_s) else "again"}


def _merge(intake: Intake, work: Work, event: dict[str, Any], left_s: Left) -> dict[str, Any]:
    dataset = intake.merge(*work)
    logger.info("dataset concluded", dataset_id=dataset.id, state=str(dataset.state), samples=dataset.total_samples)
    return {"state": str(dataset.state)}


def _fail(intake: Intake, work: Work, event: dict[str, Any], left_s: Left) -> dict[str, Any]:
    dataset = intake.fail(*work, event.get("error"))
    return {"state": str(dataset.state) if dataset else "gone"}


STEPS: dict[str, Callable[[Intake, Work, dict[str, Any], Left], dict[str, Any]]] = {
    "plan": _plan,
    "look": _look,
    "merge": _merge,
    "fail": _fail,
}
