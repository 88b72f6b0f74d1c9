from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.errors import Declined, MillraceError, ProviderRefused, Throttled, Unavailable
from millrace.retries import Budget, Policy, pause_s, retrying

POLICY = Policy(tries=3)


class Virtual:
    """A clock that only sleeping and working move."""

    def __init__(self, errors: list[MillraceError | None], takes_s: float = 0.5) -> None:
        self.at, self.errors, self.takes_s, self.slept = 0.0, errors, takes_s, list[float]()

    def work(self, left_s: float) -> str:
        self.at += self.takes_s
        error = self.errors.pop(0)
        if error is not None:
            raise error
        return "answer"

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    def run(self, deadline: float, budget: Budget, draw: float = 0.5) -> str:
        return retrying(self.work, deadline, budget, POLICY, lambda: self.at, self.sleep, lambda: draw)


@pytest.mark.parametrize("error", [Unavailable("down"), Throttled("slow", 0.3)])
def test_what_may_pass_is_tried_again(error: MillraceError) -> None:
    virtual = Virtual([error, None])

    assert virtual.run(20.0, Budget()) == "answer"
    assert virtual.slept == [pytest.approx(max(0.125, getattr(error, "retry_after_s", 0) or 0))]


@pytest.mark.parametrize("error", [ProviderRefused("no key"), Declined("filtered"), MillraceError("bug")])
def test_what_comes_out_the_same_is_not(error: MillraceError) -> None:
    virtual = Virtual([error, None])

    with pytest.raises(type(error)):
        virtual.run(20.0, Budget())
    assert virtual.slept == []


def test_no_try_begins_that_does_not_fit_the_deadline() -> None:
    virtual = Virtual([Throttled("slow", 7.0), None])

    with pytest.raises(Throttled):
        virtual.run(8.0, Budget())
    assert virtual.slept == []


@given(st.integers(1, 2000))
def test_retries_are_at_most_a_tenth_of_the_calls_and_the_reserve(calls: int) -> None:
    budget = Budget()
    tries = 0
    for _ in range(calls):
        virtual = Virtual([Unavailable("down")] * 3)
        with pytest.raises(Unavailable):
            virtual.run(100.0, budget)
        tries += 3 - len(virtual.errors)

    assert tries <= 1.1 * calls + 1


@given(st.integers(1, 12), st.floats(0, 0.9999))
def test_a_pause_is_full_jitter_under_its_cap(attempt: int, draw: float) -> None:
    assert 0 <= pause_s(POLICY, attempt, draw) <= min(POLICY.cap_s, POLICY.base_s * 2 ** (attempt - 1))
    assert pause_s(POLICY, attempt, draw, 9.0) == 9.0
