"""What the monitor does for the catalogue: everybody's rows are there after a deployment, and nearing ends are told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from aws_lambda_powertools.metrics import MetricUnit
from millrace import seeds
from millrace.catalogue import Entry
from millrace.errors import MillraceError
from millrace.lifecycle import Countdown, countdowns
from millrace.table import Table

from functions.observability import logger, metrics

ENDING = "ModelsEnding"
"""Standing models of the catalogue whose shutdown is a fortnight away or nearer."""


class Models:
    """Of this process, which a deployment replaces: seeded once, looked at once an hour."""

    def __init__(self) -> None:
        self.seeded = False
        self.looked = ""

    def tend(self, table: Table, hour: str) -> None:
        """`hour`: RFC 3339 up to the hour. A table that is away is tried again in the next minute."""
        try:
            if not self.seeded:
                done = seeds.seed(table)
                self.seeded = True
                if done.added or done.changed or done.removed:
                    logger.info("catalogue seeded", added=done.added, changed=done.changed, removed=done.removed)
        except MillraceError as error:
            logger.warning("catalogue not seeded", reason=str(error))
        if hour != self.looked:
            self.looked = hour
            tell(seeds.entries(), date.fromisoformat(hour[:10]))


def tell(entries: Sequence[Entry], today: date) -> list[Countdown]:
    """The metric for the alarm and a line for each model whose end is near; those that are gone are no news."""
    near = [found for found in countdowns(entries, today) if found.level != "gone"]
    urgent = [found for found in near if found.level == "urgent"]
    metrics.add_metric(ENDING, MetricUnit.Count, len(urgent))
    metrics.flush_metrics()
    for found in near:
        logger.warning("model ends", model_id=found.id, days=found.days, successor=found.successor, reason=found.text)
    return near
