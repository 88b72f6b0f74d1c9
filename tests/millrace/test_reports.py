"""A report of any length lies in its parts, and the drop's item stays small."""

from __future__ import annotations

import orjson
from millrace.drops import Refusal
from millrace.reports import Report, Reports
from millrace.tenants import Kind

from tests.fakes import World
from tests.millrace.curated import ACME


def _item(report: Report) -> dict[str, object]:
    return {"pk": ACME.pk(Kind.DROP, "dr1"), "id": "dr1", "key": "k", "version": "v", **report.figures()}


def test_the_item_of_ten_thousand_parts_is_small_and_names_each() -> None:
    """C2: 20,000 refused lines are a part, and an item has 400 KB; workers of three epochs wrote these."""
    world, report = World(), Report("dr1", "k", "v")
    for number in range(10_000):
        report.refuse([Refusal(number, "it has no target")])
        Reports(world.store).save(ACME, report, 1 + number // 4_000)

    item = _item(report)

    assert len(orjson.dumps(item)) < 1_000
    assert Report.from_item(item).parts == report.parts == sorted(key for _, key in world.s3.objects)


def test_a_drop_that_was_begun_when_parts_were_listed_goes_on() -> None:
    keys = ["tenants/acme/reports/d1/000.jsonl", "tenants/acme/reports/d1/001.jsonl"]
    item = {"pk": "acme#drop#d1", "id": "d1", "key": "k", "version": "v", "parts": keys}
    assert Report.from_item(item).parts == keys


def test_a_report_without_parts_goes_on_without_any() -> None:
    item = _item(Report("dr1", "k", "v"))

    assert Report.from_item(item).parts == Report.from_item(item | {"parts": []}).parts == []
