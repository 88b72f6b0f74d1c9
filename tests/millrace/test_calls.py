from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from millrace.breakers import Breakers, Phase
from millrace.calls import Calls, scope
from millrace.catalogue import Entry
from millrace.errors import Declined, LeftAlone, MillraceError, ProviderRefused, Throttled, Unavailable
from millrace.retries import Budget
from millrace.table import Table

from tests.fakes import FakeDynamo

ENTRY = Entry("gpt-6-luna", "openai")
EPOCH = 1_800_000_000.0


class World:
    """Virtual time: working and sleeping move it, nothing else does."""

    def __init__(self, seed: int = 0) -> None:
        self.at, self.made = 0.0, 0
        self.random = random.Random(seed)
        self.table = Table(FakeDynamo(), "t")  # type: ignore[arg-type]
        self.calls = self.process()

    def process(self) -> Calls:
        breakers = Breakers(self.table, lambda: EPOCH + self.at, self.random.random)
        return Calls(breakers, Budget(), clock=lambda: self.at, sleep=self.sleep, draw=self.random.random)

    def sleep(self, seconds: float) -> None:
        self.at += seconds

    def play(self, outcome: MillraceError | str, takes_s: float, left_s: float) -> str:
        self.made += 1
        self.at += min(takes_s, left_s)
        if isinstance(outcome, str) and takes_s <= left_s:
            return outcome
        raise outcome if isinstance(outcome, MillraceError) else Unavailable("too slow")


@pytest.mark.parametrize("processes", [1, 8])
def test_a_provider_that_fails_for_ten_minutes_gets_at_most_1_1_calls_a_request(processes: int) -> None:
    world = World()
    fleet = [world.process() for _ in range(processes)]
    requests = 0
    while world.at < 600:
        world.at += 0.5
        requests += 1
        with pytest.raises(Unavailable):
            fleet[requests % processes].make(
                ENTRY, world.at + 20, lambda left_s: world.play(Unavailable("down"), 0.1, left_s)
            )

    assert world.made <= 1.1 * requests
    assert world.made <= 0.05 * requests, "and the breaker makes that far fewer"


def test_a_provider_that_comes_back_is_called_again_within_its_wait() -> None:
    world = World()
    for _ in range(300):
        world.at += 1
        with pytest.raises(Unavailable):
            world.calls.make(ENTRY, world.at + 20, lambda left_s: world.play(Unavailable("down"), 0.1, left_s))

    back = world.at
    while True:
        world.at += 1
        try:
            world.calls.make(ENTRY, world.at + 20, lambda left_s: world.play("here", 0.1, left_s))
            break
        except LeftAlone as error:
            assert "is left alone until 2027-" in str(error) and "down" in str(error)
    assert world.at - back <= 150
    assert world.calls.breakers.get(scope(ENTRY)).phase is Phase.CLOSED


def test_five_thousand_random_faults_end_in_an_answer_or_one_of_our_errors_within_the_deadline() -> None:
    world = World(7)
    outcomes: list[MillraceError | str] = [
        "answer",
        "answer",
        Unavailable("down"),
        Throttled("slow"),
        Throttled("slow", 3.0),
        ProviderRefused("no key"),
        Declined("filtered"),
        MillraceError("a bug"),
    ]
    entries = [Entry(f"m{n}", "openai") for n in range(12)]
    ended: dict[str, int] = {}
    for _ in range(5000):
        world.at += world.random.expovariate(1.0)
        deadline = world.at + 8
        try:
            end = world.calls.make(
                world.random.choice(entries),
                deadline,
                lambda left_s: world.play(world.random.choice(outcomes), world.random.expovariate(0.5), left_s),
            )
        except MillraceError as error:
            end = type(error).__name__
        ended[end] = ended.get(end, 0) + 1
        assert world.at <= deadline + 1e-6

    assert set(ended) == {
        "answer",
        "Unavailable",
        "Throttled",
        "ProviderRefused",
        "Declined",
        "LeftAlone",
        "MillraceError",
    }


def test_a_declined_text_is_no_fault_of_the_model() -> None:
    world = World()
    for _ in range(50):
        with pytest.raises(Declined):
            world.calls.make(ENTRY, world.at + 20, lambda left_s: world.play(Declined("filtered"), 0.1, left_s))

    assert world.made == 50 and world.calls.obstacle(ENTRY) is None


def test_a_stream_is_tried_once_and_its_failure_is_reported() -> None:
    world = World()

    def broken() -> Iterator[str]:
        world.made += 1
        yield "half"
        raise ProviderRefused("cut")

    stream = world.calls.stream(ENTRY, broken)
    assert next(stream) == "half"
    with pytest.raises(ProviderRefused):
        next(stream)
    assert world.made == 1 and "cut" in str(world.calls.obstacle(ENTRY))
    assert list(world.calls.stream(Entry("other", "openai"), lambda: iter(["a", "b"]))) == ["a", "b"]


def test_what_falls_ill_together_has_one_breaker() -> None:
    assert scope(ENTRY) == "gpt-6-luna"
    assert scope(Entry("clear@3", "own", endpoint="e-1")) == scope(Entry("clear@4", "own", endpoint="e-1"))
    mine = Entry("m", "custom", base_url="https://a.example.com")
    assert scope(mine) != scope(Entry("m", "custom", base_url="https://b.example.com"))
