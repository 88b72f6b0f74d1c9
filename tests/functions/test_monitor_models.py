"""The catalogue after a deployment, and the ends of its models."""

from __future__ import annotations

import json
from datetime import date

import pytest
from millrace.catalogue import Entry
from millrace.errors import Unavailable
from millrace.seeds import entries
from millrace.table import Table
from millrace.tenants import Kind, system_pk

from tests.fakes import FakeDynamo

HOUR = "2026-11-20T10"


@pytest.fixture
def table(environment: dict[str, str]) -> Table:
    return Table(FakeDynamo(), "t")  # type: ignore[arg-type]


def test_a_fresh_stack_has_the_catalogue_after_the_first_minute_and_repeating_writes_nothing(table: Table) -> None:
    from functions.monitor.models import Models

    Models().tend(table, HOUR)
    standing = table.query(system_pk(Kind.CATALOGUE))
    writes: list[str] = []
    puts = table.client.put_item
    table.client.put_item = lambda **given: writes.append("put") or puts(**given)  # type: ignore[method-assign, misc]
    Models().tend(table, HOUR)

    assert {row["sk"] for row in standing} == {entry.name for entry in entries()}
    assert writes == [] and table.query(system_pk(Kind.CATALOGUE)) == standing


def test_a_table_that_is_away_is_tried_again_in_the_next_minute(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.monitor import models

    tried: list[Table] = []

    def away(table: Table) -> None:
        tried.append(table)
        raise Unavailable("away")

    monkeypatch.setattr(models.seeds, "seed", away)
    tending = models.Models()
    tending.tend(table, HOUR)
    tending.tend(table, HOUR)

    assert len(tried) == 2 and not tending.seeded


def test_an_end_that_is_near_is_a_metric_for_the_alarm_and_a_line(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from functions.monitor.models import tell

    rows = [
        Entry("going", "openai", shutdown="2026-11-30", successor="new"),
        Entry("later", "openai", shutdown="2027-01-14", successor="new"),
        Entry("gone", "openai", shutdown="2026-06-01", successor="new"),
        Entry("new", "openai"),
    ]
    near = tell(rows, date(2026, 11, 20))
    metric = next(json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line)

    assert [(found.id, found.days, found.level) for found in near] == [("going", 10, "urgent"), ("later", 55, "notice")]
    assert metric["ModelsEnding"] == [1.0]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Millrace"


def test_the_alarm_listens_to_the_metric_that_the_monitor_sends() -> None:
    from pathlib import Path

    from functions.monitor.models import ENDING

    stack = (Path(__file__).parents[2] / "cdk" / "monitoring.py").read_text("utf-8")
    assert f'metric_name="{ENDING}"' in stack
