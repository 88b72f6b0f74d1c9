"""The bounded queue and its workers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest

from tests.training_containers.serve.fake import FakeEngine
from training_containers.serve.llama import Sampling
from training_containers.serve.pool import Broken, Done, Event, Full, Pool, StopAt, Task, Text

Started = Callable[..., Pool]


@pytest.fixture
def start() -> Iterator[Started]:
    pools: list[Pool] = []

    def started(engine: FakeEngine, workers: int = 1, queue: int = 1) -> Pool:
        pools.append(Pool(engine, workers, queue))
        return pools[-1]

    yield started
    for pool in pools:
        pool.close()


def task(most: int = 10, stop: tuple[str, ...] = ()) -> tuple[Task, Queue[Event]]:
    events: Queue[Event] = Queue()
    return Task([1, 2], most, Sampling(), stop, events.put), events


def heard(events: Queue[Event]) -> tuple[str, Any]:
    """All text, and the event that ended it."""
    text = ""
    while isinstance(event := events.get(timeout=10), Text):
        text += event.text
    return text, event


def test_a_task_is_answered_word_by_word_and_counted(start: Started) -> None:
    pool = start(FakeEngine())
    one, events = task()

    pool.submit(one)
    text, done = heard(events)

    assert text == "Fine day."
    assert (done.finish_reason, done.completion_tokens) == ("stop", 4)
    assert (pool.counters.answered, pool.counters.completion_tokens) == (1, 4)


def test_an_answer_at_its_limit_says_length(start: Started) -> None:
    one, events = task(most=2)
    start(FakeEngine()).submit(one)

    assert heard(events)[1].finish_reason == "length"


def test_workers_and_queue_full_means_full_at_once(start: Started) -> None:
    engine = FakeEngine()
    engine.gate.clear()
    pool = start(engine, workers=2, queue=3)
    tasks = [task() for _ in range(5)]
    for one, _ in tasks:
        pool.submit(one)
    for _ in range(2):
        assert engine.begun.acquire(timeout=10)

    with pytest.raises(Full) as full:
        pool.submit(task()[0])

    assert full.value.retry_after_s >= 1 and pool.depth == 3 and pool.counters.refused == 1
    engine.gate.set()
    assert all(heard(events)[0] == "Fine day." for _, events in tasks)


def test_room_is_given_back(start: Started) -> None:
    pool = start(FakeEngine(), workers=1, queue=0)
    for _ in range(20):
        one, events = task()
        while True:
            try:
                pool.submit(one)
                break
            except Full:  # the worker is between its last word and its count
                continue
        assert heard(events)[0] == "Fine day."


def test_a_cancelled_task_stops_the_worker_and_says_nothing(start: Started) -> None:
    engine = FakeEngine()
    engine.gate.clear()
    pool = start(engine)
    (one, events), (waiting, unheard) = task(), task()
    pool.submit(one)
    pool.submit(waiting)
    assert engine.begun.acquire(timeout=10)

    waiting.cancelled.set()
    one.cancelled.set()

    assert engine.ended.acquire(timeout=10)
    engine.gate.set()
    after, answered = task()
    pool.submit(after)
    assert heard(answered)[0] == "Fine day."
    assert events.empty() and unheard.empty() and pool.counters.cancelled == 2


def test_a_worker_outlives_what_breaks_in_it(start: Started) -> None:
    engine = FakeEngine(error=RuntimeError("no memory"))
    pool = start(engine)
    one, events = task()
    pool.submit(one)
    assert isinstance(heard(events)[1], Broken)

    engine.error = None
    again, answered = task()
    pool.submit(again)

    assert heard(answered)[0] == "Fine day."
    assert pool.counters.errors == 1


def test_close_frees_every_worker_even_in_the_middle_of_an_answer() -> None:
    engine = FakeEngine()
    engine.gate.clear()
    pool = Pool(engine, workers=3, queue=0)
    pool.submit(task()[0])
    assert engine.begun.acquire(timeout=10)

    pool.close()

    assert engine.closed == 3
    with pytest.raises(Full):
        pool.submit(task()[0])


def test_a_stop_string_ends_the_answer_and_is_not_in_it(start: Started) -> None:
    one, events = task(stop=("ay.", "zzz"))
    start(FakeEngine()).submit(one)

    text, done = heard(events)

    assert (text, done.finish_reason) == ("Fine d", "stop")


def test_stop_strings_cut_any_slicing_of_any_text_like_a_search_of_the_whole() -> None:
    draw = random.Random(3)
    for _ in range(3000):
        text = "".join(draw.choices("abc", k=draw.randint(0, 20)))
        stops = ["".join(draw.choices("abc", k=draw.randint(1, 4))) for _ in range(2)]
        cut, out, rest = StopAt(stops), "", text
        while rest and not cut.found:
            size = draw.randint(1, 4)
            out, rest = out + cut.add(rest[:size]), rest[size:]
        out += cut.end()
        ends = [at for stop in stops if (at := text.find(stop)) >= 0]
        if ends:
            assert cut.found and text.startswith(out) and len(out) <= max(ends)
            assert not any(stop in out for stop in stops)
        else:
            assert out == text and not cut.found


def test_many_callers_at_once_are_each_answered_or_refused(start: Started) -> None:
    pool = start(FakeEngine(), workers=2, queue=4)
    outcomes: Queue[str] = Queue()

    def call() -> None:
        one, events = task()
        try:
            pool.submit(one)
        except Full:
            outcomes.put("full")
            return
        outcomes.put(heard(events)[0])

    threads = [threading.Thread(target=call) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    said = [outcomes.get() for _ in range(60)]
    assert set(said) <= {"full", "Fine day."}
    assert said.count("full") == pool.counters.refused
    assert pool.counters.requests == 60


def test_done_tells_the_speed() -> None:
    assert Done("stop", 50, 0.0, 250.0).tokens_per_s == pytest.approx(200)
