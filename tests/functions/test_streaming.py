"""The streaming function, run by uvicorn as the adapter runs it, and OpenAI's own client reading from it."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import httpx
import openai
import pytest
import uvicorn
from millrace import providers, seeds
from millrace.access import Access, fresh_key
from millrace.contract import JobState
from millrace.jobs import Job
from millrace.providers.reach import Reach
from millrace.settings import Providers
from millrace.table import Table
from millrace.usage import Usage

from tests.loopback import DEMO
from tests.millrace.test_humanize import paragraph
from tests.providers_server import Answer, ProviderServer, provider_server

LONG = "\n\n".join(paragraph(n) for n in range(1, 9))
MODEL = "gpt-6-luna"


@dataclass
class Writer:
    """The provider's model: rewrites faithfully, and holds the paragraphs that it is told to hold."""

    holds: str = "no such words"
    """A pattern that what is held answers to."""
    release: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def __call__(self, prompt: str) -> Answer:
        text = prompt[prompt.index("Moreover,") :]
        text = text[: text.index("with it in the morning.") + len("with it in the morning.")]
        self.asked.append(text)
        if re.search(self.holds, text):
            self.entered.set()
            self.release.wait(20)
        return Answer(text.replace("Moreover, ", ""), 50, 40, 0)


@dataclass
class Stage:
    url: str
    key: str
    writer: Writer
    models: ProviderServer
    table: Table

    def client(self, key: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(api_key=key or self.key, base_url=f"{self.url}/v1", max_retries=0)

    def stream(self, model: str = f"humanize/{MODEL}") -> Any:
        talk: Any = [{"role": "user", "content": LONG}]
        return self.client().chat.completions.create(model=model, messages=talk, stream=True)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return httpx.post(self.url + path, json=body, headers={"x-api-key": self.key, **headers}, timeout=30)


@pytest.fixture
def stage(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    from functions import parts
    from functions.gateway import answering, streaming
    from functions.gateway.routers import openai as router

    with provider_server() as models:
        boto3.client("secretsmanager").create_secret(Name="stream-keys", SecretString='{"OPENAI_API_KEY": "sk-test"}')
        urls = f"openai={models.url('/v1')}"
        reach = Reach.of(Providers(provider_secret="stream-keys", provider_urls=urls))
        monkeypatch.setattr(providers, "_reach", lambda: reach)
        table = parts.table(streaming.settings)
        seeds.seed(table)
        key = fresh_key()
        Access(table).grant(key, DEMO)
        once = (answering.calls, answering.books, answering.catalogue, answering.humanizer, router.talking)
        for made in once:
            made.cache_clear()
        writer = Writer()
        models.answer = writer
        with running(streaming.app) as url:
            yield Stage(url, key, writer, models, table)
        writer.release.set()
        for made in once:
            made.cache_clear()


class running:
    """uvicorn on a free port."""

    def __init__(self, app: Any) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        assert until(lambda: self.server.started)
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.socket.close()


def until(holds: Callable[[], object], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return bool(holds())


def test_openais_client_reads_paragraphs_before_the_last_one_is_written(stage: Stage) -> None:
    stage.writer.holds = "hall 8"
    stream = iter(stage.stream())

    early = [next(stream).choices[0].delta.content for _ in range(6)]
    assert not stage.writer.release.is_set() and "hall 1" in "".join(early)
    stage.writer.release.set()
    chunks = list(stream)

    text = "".join([*early, *(c.choices[0].delta.content or "" for c in chunks)])
    assert "hall 8" in text and "Moreover" not in text
    assert chunks[-1].choices[0].finish_reason == "stop" and chunks[-1].model == MODEL
    assert chunks[-1].model_extra["decision_id"]


def test_humanize_streams_events_and_ends_with_scores_usage_and_decision(stage: Stage) -> None:
    stage.writer.holds = "hall 8"
    body, headers = {"text": LONG, "model_id": MODEL}, {"x-api-key": stage.key, "accept": "text/event-stream"}
    with httpx.stream("POST", f"{stage.url}/api/humanize", json=body, headers=headers, timeout=30) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.iter_lines()
        first = [next(lines) for _ in range(2)]
        assert first[0] == "event: paragraph" and "hall 1" in json.loads(first[1][6:])["text"]
        stage.writer.release.set()
        rest = [*first, *lines]

    events = [(rest[n][7:], json.loads(rest[n + 1][6:])) for n, line in enumerate(rest) if line.startswith("event: ")]
    *pieces, (last, told) = events
    assert last == "answer" and {name for name, _ in pieces} == {"paragraph"}
    assert "".join(piece["text"] for _, piece in pieces) == told["text"]
    assert told["scores"]["after"] and told["usage"]["output_tokens"] == 8 * 40 and told["decision_id"]


def test_who_hangs_up_stops_the_work_and_nothing_stays_held(stage: Stage) -> None:
    stage.writer.holds = "hall [2-8]"  # so that no other thread is through with them before the reader has left
    stream = stage.stream("auto")
    next(iter(stream))
    assert stage.writer.entered.wait(20)
    stream.close()

    def settled() -> bool:
        standing = Usage(stage.table).standing(DEMO)
        return standing.held_usd == 0 and standing.spent_usd > 0

    assert until(settled)
    assert len(stage.writer.asked) < 8


def test_plain_chat_is_passed_on_as_the_provider_says_it(stage: Stage) -> None:
    stage.models.answer = lambda prompt: Answer("One two three. " * 20, 12, 8, 0)

    chunks = list(
        stage.client().chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Count."}], stream=True
        )
    )

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "One two three. " * 20
    assert len([c for c in chunks if c.choices[0].delta.content]) > 3


def test_a_lie_of_a_named_model_in_the_middle_is_an_event_and_ends_the_stream(stage: Stage) -> None:
    stage.models.answer = lambda prompt: Answer(stage.writer(prompt).text.replace("hall 5 ", "hall 99 "), 5, 5, 0)

    with pytest.raises(openai.APIError, match="did not keep"):
        list(stage.stream())
    told = stage.post("/api/humanize", {"text": LONG, "model_id": MODEL, "stream": True}).text

    assert "hall 99" not in told.split("event: error")[0] and '"violations"' in told.split("event: error")[1]


def test_nobody_without_a_key_comes_in_and_nothing_but_streams_is_served(stage: Stage) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        stage.client("mr_unknown").models.list()
    assert stage.post("/api/humanize", {"text": "Hello"}, **{"x-api-key": ""}).status_code == 403
    assert stage.post("/api/training-jobs", {}).status_code == 404
    assert httpx.get(f"{stage.url}/ready").status_code == 204
    assert {model.id for model in stage.client().models.list()} >= {"auto", "rules", MODEL}


def test_what_fails_before_the_first_piece_has_its_own_status(stage: Stage) -> None:
    body = {"text": LONG, "stream": True}

    assert stage.post("/api/humanize", body | {"model_id": "nobody"}).status_code == 404
    assert stage.post("/api/humanize", {"text": " ", "stream": True}).status_code == 422
    assert stage.post("/api/humanize", {"text": "word " * 3_001, "stream": True}).status_code == 202
    stage.models.answer = lambda prompt: Answer("Nothing of it.", 5, 5, 0)
    assert stage.post("/api/humanize", body | {"model_id": MODEL}).status_code == 422


def test_a_key_that_cannot_be_looked_up_is_asked_for_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace.errors import Throttled

    def fails(*_: Any) -> None:
        raise Throttled("too many", 7.2)

    monkeypatch.setattr(Access, "who", fails)
    reply = stage.post("/api/humanize", {"text": "Hello"})

    assert reply.status_code == 503 and reply.headers["retry-after"] == "8"


def test_a_training_is_followed_from_its_turn_to_its_end(stage: Stage) -> None:
    """J6: every change as it comes, and nothing after the end."""
    from functions import parts
    from functions.gateway.streaming import settings

    jobs = parts.jobs(settings)
    assert jobs.create(DEMO, Job("j1", JobState.PENDING, "lora-sft", 1, "m", "2026-01-01T00:00:00.000Z", "person"))
    heard: list[tuple[str, dict[str, Any]]] = []
    headers = {"x-api-key": stage.key, "accept": "text/event-stream"}
    with httpx.stream("GET", f"{stage.url}/api/jobs/j1/progress", headers=headers, timeout=30) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in reply.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if not line.startswith("data: "):
                continue
            heard.append((name, json.loads(line.removeprefix("data: "))))
            if len(heard) == 1:
                jobs.move(DEMO, "j1", JobState.RUNNING, 1)
            if len(heard) == 2:
                jobs.note(DEMO, "j1", 1, {"progress": {"step": 3, "steps": 9}})
            if len(heard) == 3:
                jobs.move(DEMO, "j1", JobState.COMPLETED, 1)

    assert [(name, told["state"]) for name, told in heard] == [
        ("progress", "pending"),
        ("progress", "running"),
        ("progress", "running"),
        ("ended", "completed"),
    ]
    assert heard[2][1]["progress"] == {"step": 3, "steps": 9}


def test_a_training_of_somebody_else_is_not_there_to_be_followed(stage: Stage) -> None:
    headers = {"x-api-key": stage.key, "accept": "text/event-stream"}

    assert httpx.get(f"{stage.url}/api/jobs/j-of-another/progress", headers=headers).status_code == 404
