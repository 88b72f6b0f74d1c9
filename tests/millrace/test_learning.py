from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from millrace.bandit import Observation, State, told
from millrace.complexity import PARTS
from millrace.errors import MillraceError
from millrace.learning import AT_ONCE, Learning
from millrace.table import Table
from millrace.tenants import Tenant

from tests.fakes import FAULTS, FakeDynamo, Fault, Faulty, Plan

ACME, OTHER = Tenant("acme"), Tenant("other")
SEEN = Observation("m", 0.7, (1.0, *(0.0 for _ in PARTS)), 0.9, 1_800_000_000.0, 0.001, 0.001, 0.01)


class Clock:
    at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


def _learning(dynamo: Any, clock: Clock | None = None, every_s: float = 0.0) -> Learning:
    return Learning(Table(dynamo, "t"), clock or Clock(), fresh_s=0.0, every_s=every_s)


def _answers(state: State) -> int:
    return sum(row["answers"] for row in told(state))


def test_what_one_process_learns_the_others_know_and_other_tenants_do_not() -> None:
    dynamo = FakeDynamo()
    _learning(dynamo).observe(ACME, SEEN)

    assert _answers(_learning(dynamo).state(ACME)) == 1
    assert _learning(dynamo).state(OTHER) == State()


def test_a_busy_process_writes_every_few_seconds_and_knows_at_once() -> None:
    plan, dynamo, clock = Plan(), FakeDynamo(), Clock()
    learning = _learning(Faulty(dynamo, plan), clock, every_s=5.0)
    for _ in range(20):
        clock.at += 0.1
        learning.observe(ACME, SEEN)

    assert plan.seen.count("update_item") == 1
    assert _answers(learning.state(ACME)) == 20
    assert _answers(_learning(dynamo).state(ACME)) == 1
    clock.at += 5
    learning.observe(ACME, SEEN)
    assert _answers(_learning(dynamo).state(ACME)) == 21
    for _ in range(AT_ONCE):
        learning.observe(ACME, SEEN)
    assert plan.seen.count("update_item") == 3


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_lost_replies_teach_nothing_twice(fault: Fault, nth: int) -> None:
    dynamo = FakeDynamo()
    learning = _learning(Faulty(dynamo, Plan({nth: fault})))
    for _ in range(3):
        learning.observe(ACME, SEEN)

    assert 2 <= _answers(_learning(dynamo).state(ACME)) <= 3


def test_a_table_that_is_away_costs_learning_and_no_answer() -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise MillraceError("the table is away")

    learning = _learning(Away())
    learning.observe(ACME, SEEN)

    assert _answers(learning.state(ACME)) == 1, "this process knows all the same"


@pytest.mark.usefixtures("embedded")
def test_processes_that_learn_at_once_lose_nothing(embedded: dict[str, str]) -> None:
    from millrace import aws

    table = Table(aws.dynamodb(), embedded["MILLRACE_TABLE"])
    fleet = [Learning(table, Clock(), every_s=1e9) for _ in range(4)]

    def teach(learning: Learning) -> bool:
        for _ in range(5):
            learning.observe(ACME, SEEN)
        return learning.flush(ACME)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(teach, fleet))
    assert all([learning.flush(ACME) for learning in fleet])

    state = Learning(table, Clock()).state(ACME)
    assert _answers(state) == 20 and 4 <= state.version <= 12
