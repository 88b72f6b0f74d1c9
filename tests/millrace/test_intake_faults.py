"""A seeded simulation of the intake: files of every format, delivered twice, late, out of order and to several workers.

Calls go wrong, workers die, sleep past their lease or run out of time, and objects are overwritten.
"""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from millrace import intake as intake_module
from millrace import ranges, reports
from millrace.contract import DropState
from millrace.errors import MillraceError
from millrace.intake import LEASE_S, Dropped, Intake
from millrace.tenants import Kind, Tenant

from tests.fakes import FAULTS, LONG, Crash, Fault, Plan, World
from tests.millrace.test_intake import Clock

ACME = Tenant("acme")
Step = Callable[[], object]


def _zipped(body: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", body)
    return out.getvalue()


def _csv(rows: list[int | None]) -> bytes:
    lines = ("broken" if n is None else f"draft {n},final {n}" for n in rows)
    return "\n".join(["prompt,completion", *lines]).encode()


def _records(rows: list[int | None]) -> list[dict[str, str]]:
    return [{"a": "b"} if n is None else {"prompt": f"draft {n}", "completion": f"final {n}"} for n in rows]


FORMATS: dict[str, Callable[[list[int | None]], bytes]] = {
    "csv": _csv,
    "gzip": lambda rows: gzip.compress(_csv(rows)),
    "zip": lambda rows: _zipped(_csv(rows)),
    "json": lambda rows: orjson.dumps(_records(rows)),
    "jsonl": lambda rows: b"\n".join(orjson.dumps(record) for record in _records(rows)),
}


class Sleepy(Intake):
    """Falls asleep before a checkpoint or the conclusion; what it would have done then it does when it wakes up."""

    def _sleep(self, late: Step) -> None:
        self.__dict__["late"] = late
        raise Crash

    def _checkpoint(self, *given: Any) -> None:
        self._sleep(lambda: Intake._checkpoint(self, *given))

    def _conclude(self, *given: Any) -> None:
        self._sleep(lambda: Intake._conclude(self, *given))


class Simulation:
    def __init__(self, seed: int, clock: Clock) -> None:
        self.draw, self.clock, self.world = random.Random(seed), clock, World()
        self.files: dict[str, list[int | None]] = {}
        self.drops: dict[str, Dropped] = {}
        self.late: list[Step] = []
        for number in range(self.draw.randint(1, 4)):
            self._put(f"drop/acme/{number // 2}")  # every second one overwrites the one before it

    def _put(self, key: str) -> None:
        rows = [self.draw.choice([None, *range(9)]) for _ in range(self.draw.randint(1, 12))]
        body = FORMATS[self.draw.choice(list(FORMATS))](rows)
        version = self.world.s3.put_object(Bucket="drops", Key=key, Body=body)["VersionId"]
        dropped = Dropped("drops", key, version)
        self.drops[dropped.id], self.files[dropped.id] = dropped, rows

    def _faults(self) -> dict[int, Fault]:
        if self.draw.random() < 0.4:
            return {}
        kinds: tuple[Fault, ...] = (*FAULTS, "crash")
        return {self.draw.randint(1, 24): self.draw.choice(kinds) for _ in range(self.draw.randint(1, 3))}

    def step(self) -> None:
        if self.late and self.draw.random() < 0.2:
            return self._try(self.late.pop(self.draw.randrange(len(self.late))))
        seen = self.world.through(Plan(self._faults())).intake
        kind = Sleepy if self.draw.random() < 0.2 else Intake
        worker = kind(seen.table, seen.corpus, seen.store, seen.s3, seen.events)
        ends_at = self.clock.now if self.draw.random() < 0.4 else float("inf")
        dropped = self.draw.choice(list(self.drops.values()))
        self._try(lambda: worker.collect(ACME, dropped, ends_at))
        self.late += [worker.__dict__["late"]] if "late" in worker.__dict__ else []
        self.clock.now += self.draw.choice([0, 1, LEASE_S + 1])

    def _try(self, step: Step) -> None:
        try:
            step()
        except (Crash, MillraceError):
            pass

    def drain(self) -> None:
        self.clock.now += LEASE_S + 1
        for dropped in self.drops.values():
            while (report := self.world.intake.collect(ACME, dropped, self.clock.now)) is not None:
                if report.state is not DropState.PROCESSING:
                    break
        for step in self.late:
            self._try(step)

    def check(self) -> None:
        points = [item for item in self.world.table.all(ACME.pk(Kind.DATA_POINT))]
        owners = Counter(point["origin_ref"].split("#")[0] for point in points)
        told = {item["id"]: item for item in self.world.intake.page(ACME, 100, None)[0]}
        assert told.keys() == self.drops.keys()
        for id, rows in self.files.items():
            item = told[id]
            report: dict[str, Any] = self.world.store.get_json(item["report"])
            assert item["accepted"] + item["duplicate"] + item["rejected"] == len(rows)
            assert item["rejected"] == rows.count(None) == sum(group["count"] for group in item["groups"])
            assert item["accepted"] == owners[id] == report["accepted"]
            assert len(report["reasons"]) == item["rejected"], "each with its line and reason"
        wanted = {n for rows in self.files.values() for n in rows if n is not None}
        assert {point["source"] for point in points} == {f"draft {n}" for n in wanted}
        assert len(points) == len(wanted) == self.world.corpus.counts(ACME).usable
        events = {orjson.loads(entry["Detail"])["id"] for entry in self.world.bus.told}
        assert events == self.drops.keys(), "each end was told, under one id"


def _patched(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(intake_module, "time", clock)
    monkeypatch.setattr(intake_module, "CHECKPOINT_S", 0)
    monkeypatch.setattr(intake_module, "_BLOCK_ROWS", 2)
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 64)
    monkeypatch.setattr(reports, "REPORTED", 5)
    return clock


def test_one_effect_a_row_in_a_hundred_thousand_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, steps = _patched(monkeypatch), 0
    monkeypatch.setattr(reports, "REPORTED", 100)
    wanted = 100_000 if LONG else 2_000
    for seed in range(10**9):
        simulation = Simulation(seed, clock)
        for _ in range(simulation.draw.randint(0, 14)):
            simulation.step()
            steps += 1
        simulation.drain()
        simulation.check()
        if steps >= wanted:
            return


def test_a_report_of_more_than_its_limit_names_the_parts_that_hold_every_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _patched(monkeypatch)
    world = World()
    body = b"prompt,completion\n" + b"broken\n" * 7 + b"a,b\n" + b"x\n" * 2 + b",\n"
    version = world.s3.put_object(Bucket="drops", Key="drop/acme/a.csv", Body=body)["VersionId"]

    world.intake.collect(ACME, Dropped("drops", "drop/acme/a.csv", version))

    (item,) = world.intake.page(ACME, 1, None)[0]
    report: dict[str, Any] = world.store.get_json(item["report"])
    assert [reason["line"] for reason in report["reasons"]] == [2, 3, 4, 5, 6]
    runs = [orjson.loads(line) for key in report["parts"] for line in world.store.get(key).splitlines()]
    assert [n for run in runs for n in range(run["line"], run["to"] + 1)] == [2, 3, 4, 5, 6, 7, 8, 10, 11, 12]
    assert [(group["count"], group["line"]) for group in report["groups"]] == [(9, 2), (1, 12)]
