"""The routes over a fake engine, spoken to over real sockets: limits, refusals, callers who leave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from millrace.errors import Unavailable

from tests.training_containers.serve.conftest import free_port, until
from tests.training_containers.serve.fake import FakeEngine
from training_containers.serve.api import Server
from training_containers.serve.settings import Serving, Settings

ASKED = {"messages": [{"role": "user", "content": "one two three"}]}


@dataclass(frozen=True)
class Running:
    url: str
    port: int
    engine: FakeEngine

    def post(self, **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/invocations", json=ASKED | more, timeout=30)

    def health(self) -> dict[str, Any]:
        told: dict[str, Any] = httpx.get(f"{self.url}/health").json()
        return told


Starter = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Starter]:
    stops: list[Callable[[], None]] = []

    def started(engine: FakeEngine, serving: Serving | None = None, **settings: Any) -> Running:
        given = Settings(**{"workers": 1, "queue": 1, "timeout_s": 20.0} | settings)
        port = free_port()
        config = uvicorn.Config(
            Server(engine, given, serving or Serving()).app(), "127.0.0.1", port, log_level="error", access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()

        def stop() -> None:
            engine.gate.set()
            server.should_exit = True
            thread.join(30)

        stops.append(stop)
        until(lambda: server.started)
        return Running(f"http://127.0.0.1:{port}", port, engine)

    yield started
    for stop in stops:
        stop()


def test_an_answer_has_its_usage_and_timings(start: Starter) -> None:
    reply = start(FakeEngine()).post().json()

    assert reply["choices"][0]["message"]["content"] == "Fine day."
    assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert set(reply["timings"]) == {"queue_ms", "predicted_ms", "tokens_per_s"}


def test_without_a_limit_the_rest_of_the_context_is_the_limit(start: Starter) -> None:
    running = start(FakeEngine(context=64))

    running.post()
    running.post(max_tokens=1000)
    running.post(max_tokens=2)

    assert [most for most, _ in running.engine.asked] == [61, 61, 2]


def test_a_full_queue_is_429_with_retry_after(start: Starter) -> None:
    running = start(FakeEngine(), workers=1, queue=1)
    running.engine.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(running.post) for _ in range(2)]
        until(lambda: running.health()["queue_depth"] == 1)

        refused = running.post()
        running.engine.gate.set()

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "queue-full"
    assert [future.result().status_code for future in held] == [200, 200]


def test_a_request_that_waits_too_long_in_the_queue_is_504_and_is_not_run(start: Starter) -> None:
    running = start(FakeEngine(), workers=1, queue=1)
    running.engine.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(running.post)
        assert running.engine.begun.acquire(timeout=10)

        late = running.post(timeout_s=0.05)
        running.engine.gate.set()

        assert held.result().status_code == 200
    assert late.status_code == 504
    assert "No complete answer within" in late.json()["error"]["message"]
    until(lambda: running.health()["cancelled"] == 1)
    assert len(running.engine.asked) == 1


def test_a_stream_that_times_out_in_the_middle_ends_with_an_error_event(start: Starter) -> None:
    slow = FakeEngine()
    more = threading.Event()
    slow.says = _Halting(["Fine", " day."], more)  # type: ignore[assignment]
    running = start(slow)

    reply = running.post(stream=True, timeout_s=0.5)
    more.set()

    events = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
    assert reply.status_code == 200 and json.loads(events[1])["choices"][0]["delta"]["content"] == "Fine"
    assert json.loads(events[-1])["error"]["code"] == "timeout"


class _Halting:
    """Says its first word and waits for leave to go on."""

    def __init__(self, words: list[str], more: threading.Event) -> None:
        self.words, self.more = words, more

    def __getitem__(self, _: slice) -> Iterator[str]:
        yield self.words[0]
        self.more.wait(20)
        yield from self.words[1:]


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_leaves_stops_the_work(start: Starter, stream: bool) -> None:
    running = start(FakeEngine())
    running.engine.gate.clear()
    body = json.dumps(ASKED | {"stream": stream}).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(head + body)
        assert running.engine.begun.acquire(timeout=10)

    assert running.engine.ended.acquire(timeout=10)  # though the gate is still shut
    running.engine.gate.set()
    assert running.post().status_code == 200


def test_a_body_over_the_limit_is_413(start: Starter) -> None:
    running = start(FakeEngine(), max_body_bytes=1000)

    reply = running.post(messages=[{"role": "user", "content": "x" * 2000}])

    assert reply.status_code == 413 and "1000 bytes" in reply.json()["error"]["message"]


def test_a_prompt_over_the_context_is_400_with_both_figures(start: Starter) -> None:
    reply = start(FakeEngine(context=16)).post(messages=[{"role": "user", "content": "word " * 20}])

    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "The prompt has 20 tokens; the context of 16 leaves no room."


@pytest.mark.parametrize(("error", "status"), [(Unavailable("Busy."), 503), (RuntimeError("secret path"), 503)])
def test_what_breaks_in_the_engine_is_a_sentence_without_its_insides(
    start: Starter, error: Exception, status: int
) -> None:
    running = start(FakeEngine(error=error))

    for stream in (False, True):
        reply = running.post(stream=stream)
        assert reply.status_code == status
        assert "secret path" not in reply.text and reply.json()["error"]["message"]
    assert running.health()["errors"] == 2


def test_the_models_instruction_reaches_the_engine(start: Starter) -> None:
    running = start(FakeEngine(), Serving(instruction="Rewrite."))

    running.post()

    assert running.engine.messages == [[{"role": "user", "content": "Rewrite.\n\none two three"}]]


def test_the_models_stop_strings_hold_beside_the_callers(start: Starter) -> None:
    running = start(FakeEngine(), Serving(stop=["day"]))

    assert running.post().json()["choices"][0]["message"]["content"] == "Fine "
    assert running.post(stop="ne").json()["choices"][0]["message"]["content"] == "Fi"


def test_health_counts(start: Starter) -> None:
    running = start(FakeEngine())
    running.post()
    running.post()

    told = running.health()

    assert (told["requests"], told["answered"], told["completion_tokens"], told["queue_depth"]) == (2, 2, 8, 0)
    assert told["model"] == "millrace" and told["tokens_per_s"] > 0


def test_shutting_down_frees_the_engine(start: Starter) -> None:
    engine = FakeEngine()
    server = Server(engine, Settings(workers=2), Serving())

    server.close()

    assert engine.closed == 3  # two workers and the engine


@pytest.mark.parametrize("path", ["invocations", "v1/score"])
def test_a_text_is_judged_by_its_tokens(start: Starter, path: str) -> None:
    """H10."""
    running = start(FakeEngine())

    reply = httpx.post(f"{running.url}/{path}", json={"score": "one two three"}, timeout=30)
    long = httpx.post(f"{running.url}/{path}", json={"score": "word " * 200}, timeout=30).json()
    empty = httpx.post(f"{running.url}/{path}", json={"score": ""}, timeout=30)

    told = {"mean_logprob": -1.5, "surprise_burstiness": 0.5, "token_likeness": 0.25}
    assert reply.json() == {"object": "text.likelihood", "model": "millrace", "truncated": False, "tokens": 3} | told
    assert (long["tokens"], long["truncated"]) == (63, True)
    assert empty.status_code == 422 and "score" in empty.json()["error"]["message"]


def test_a_message_that_speaks_of_a_score_is_answered(start: Starter) -> None:
    running = start(FakeEngine())

    reply = running.post(messages=[{"role": "user", "content": 'Say "score" and {"score": 1}.'}], score=1)

    assert reply.json()["choices"][0]["message"]["content"] == "Fine day."


def test_who_waits_too_long_for_a_judgement_is_told(start: Starter) -> None:
    engine = FakeEngine()
    engine.gate.clear()

    reply = httpx.post(f"{start(engine).url}/v1/score", json={"score": "one two", "timeout_s": 0.2}, timeout=30)

    assert reply.status_code == 504
