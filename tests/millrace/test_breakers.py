from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.breakers import (
    OPEN_AT,
    PROBE_S,
    REFUSED_CAP_S,
    ROW_AT,
    WAIT_CAP_S,
    Admission,
    Breakers,
    Phase,
    State,
    failed,
    probing,
    succeeded,
)
from millrace.errors import Declined, MillraceError, ProviderRefused, Throttled, Unavailable
from millrace.table import Table
from millrace.tenants import Kind, system_pk

from tests.fakes import FakeDynamo, Faulty, Plan

SICK = Unavailable("it is down")


class Clock:
    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


def _breakers(table: Table, clock: Clock) -> Breakers:
    return Breakers(table, clock, draw=lambda: 0.5)


@pytest.fixture
def table() -> Table:
    return Table(FakeDynamo(), "t")  # type: ignore[arg-type]


def test_an_unbroken_row_of_failures_opens_and_one_good_probe_closes() -> None:
    state, at = State("m"), 0.0
    for number in range(1, ROW_AT + 1):
        assert state.phase is Phase.CLOSED, number
        at += 100
        state = failed(state, at, SICK, 0.5)

    assert (state.phase, state.opened_at, state.next_try, state.reason) == (Phase.OPEN, at, at + 5.0, "it is down")
    assert not state.callable(at + 4.9) and state.callable(at + 5.0)
    probe = probing(state, at + 5.0)
    assert not probe.callable(at + 5.0 + PROBE_S - 1) and probe.callable(at + 5.0 + PROBE_S)
    assert succeeded(probe, at + 6.0) == State("m")


@pytest.mark.parametrize(("rate", "opens"), [(0.1, False), (0.2, False), (0.5, True), (0.8, True)])
def test_it_opens_above_a_third_of_failures_and_not_below_a_fifth(rate: float, opens: bool) -> None:
    state, owed = State("m"), 0.0
    for step in range(500):
        owed += rate
        if owed >= 1.0:
            owed -= 1.0
            state = failed(state, step / 10, SICK, 0.5)
        else:
            state = succeeded(state, step / 10)
        if state.phase is Phase.OPEN:
            break

    assert (state.phase is Phase.OPEN) is opens


def test_waits_double_to_a_cap_and_a_refusal_waits_longer() -> None:
    state, waits = replace(State("m"), failures=ROW_AT), []
    at = 0.0
    for _ in range(8):
        state = failed(state, at, SICK, 0.5)
        assert state.next_try is not None
        waits.append(state.next_try - at)
        at = state.next_try
        state = probing(state, at)

    assert waits == [5, 10, 20, 40, 80, WAIT_CAP_S, WAIT_CAP_S, WAIT_CAP_S]
    refused = failed(State("m"), 0.0, ProviderRefused("wrong key"), 0.5)
    assert (refused.phase, refused.next_try) == (Phase.OPEN, 60.0)
    assert failed(replace(refused, waits=9), 0.0, ProviderRefused("wrong key"), 0.5).next_try == REFUSED_CAP_S


def test_what_a_provider_asks_for_is_waited() -> None:
    told = failed(State("m"), 100.0, Throttled("slow down", 33.0), 0.5)
    untold = failed(State("m"), 100.0, Throttled("slow down"), 0.5)

    assert (told.phase, told.next_try) == (Phase.OPEN, 133.0)
    assert untold.phase is Phase.CLOSED


def test_a_declined_text_says_nothing_about_the_model() -> None:
    state = failed(State("m"), 1.0, SICK, 0.5)

    assert failed(state, 2.0, Declined("filtered"), 0.5) == state
    assert failed(probing(state, 2.0), 3.0, Declined("filtered"), 0.5).phase is Phase.CLOSED


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, SICK, Throttled("t", 9.0), ProviderRefused("r"), Declined("d")]),
            st.floats(0, 500),
            st.floats(0, 0.999),
        ),
        max_size=60,
    )
)
def test_whatever_happens_a_state_is_closed_or_has_a_next_try_within_its_cap(steps: list[tuple]) -> None:
    state, at = State("m"), 0.0
    for error, later_s, draw in steps:
        at += later_s
        if not state.callable(at):
            continue
        if state.phase is not Phase.CLOSED:
            state = probing(state, at)
        state = succeeded(state, at) if error is None else failed(state, at, error, draw)

        assert state.score >= 0
        if state.phase is Phase.CLOSED:
            assert state.next_try is None and state.now(at) < OPEN_AT
        else:
            assert state.next_try is not None and at < state.next_try <= at + REFUSED_CAP_S * 1.25


def test_a_provider_that_is_down_for_ten_minutes_gets_few_calls(table: Table) -> None:
    clock = Clock()
    fleet = [_breakers(table, clock) for _ in range(8)]
    calls, requests = 0, 0
    for tick in range(600):
        clock.at += 1
        for number in (tick % 8, (tick * 3 + 1) % 8):
            requests += 1
            admission = fleet[number].admit("m")
            if isinstance(admission, Admission):
                calls += 1
                fleet[number].report(admission, SICK)

    assert requests == 1200
    assert calls <= 0.05 * requests, calls


def test_every_process_sees_an_open_breaker_and_one_gets_the_probe(table: Table) -> None:
    clock = Clock()
    one, *others = [_breakers(table, clock) for _ in range(4)]
    for _ in range(int(OPEN_AT)):
        admission = one.admit("m")
        assert isinstance(admission, Admission)
        one.report(admission, SICK)
    clock.at += 2.1

    assert [other.get("m").phase for other in others] == [Phase.OPEN] * 3
    assert isinstance(others[0].admit("m"), State)
    clock.at += 5
    admitted = [b.admit("m") for b in (one, *others)]
    probes = [a for a in admitted if isinstance(a, Admission)]
    assert [probe.probe for probe in probes] == [True]
    winner = (one, *others)[admitted.index(probes[0])]
    winner.report(probes[0])
    clock.at += 2.1
    assert [b.get("m").phase for b in (one, *others)] == [Phase.CLOSED] * 4
    assert [state.name for state in one.states()] == ["m"]


def test_a_healthy_model_costs_no_write_and_one_read_every_two_seconds() -> None:
    client = Counting(FakeDynamo())
    clock = Clock()
    breakers = _breakers(Table(client, "t"), clock)  # type: ignore[arg-type]
    for _ in range(1000):
        clock.at += 0.01
        admission = breakers.admit("m")
        assert isinstance(admission, Admission)
        breakers.report(admission)

    assert client.calls["query"] <= 6
    assert set(client.calls) == {"query"}


def test_a_table_that_cannot_be_reached_never_stops_a_call() -> None:
    clock = Clock()
    broken = Table(Refusing(), "t")  # type: ignore[arg-type]
    breakers = _breakers(broken, clock)
    for _ in range(int(OPEN_AT)):
        admission = breakers.admit("m")
        assert isinstance(admission, Admission)
        breakers.report(admission, SICK)

    assert breakers.get("m").phase is Phase.OPEN, "this process knows all the same"


def test_lost_replies_and_throttles_of_the_table_leave_one_state() -> None:
    fake = FakeDynamo()
    clock = Clock()
    for fault in ("lost", "twice", "throttle", "error"):
        faulty = Table(Faulty(fake, Plan({2: fault})), "t")  # type: ignore[arg-type]
        breakers = _breakers(faulty, clock)
        name = f"m-{fault}"
        for _ in range(ROW_AT + 2):
            admission = breakers.admit(name)
            if isinstance(admission, Admission):
                breakers.report(admission, SICK)
        clock.at += 3
        assert breakers.get(name).phase is Phase.OPEN, fault
        standing = Table(fake, "t").get(system_pk(Kind.BREAKER), name)  # type: ignore[arg-type]
        assert standing is not None


class Counting:
    def __init__(self, inner: FakeDynamo) -> None:
        self.inner, self.calls = inner, dict[str, int]()

    def __getattr__(self, name: str) -> object:
        if name != "exceptions":
            self.calls[name] = self.calls.get(name, 0) + 1
        return getattr(self.inner, name)


class Refusing:
    def __getattr__(self, name: str) -> object:
        if name == "exceptions":
            return FakeDynamo().exceptions
        raise MillraceError("the table is away")
