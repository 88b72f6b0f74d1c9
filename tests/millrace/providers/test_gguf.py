"""The serve container's own routes behind provider `gguf`, on loopback and on a local socket, over a fake engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from millrace.addresses import Allowed
from millrace.catalogue import Entry
from millrace.errors import Throttled, Unavailable
from millrace.keys import Keys
from millrace.providers import Ask, Completion, Message, Talk, openai
from millrace.providers.prompt import ask_for, rewrite_of
from millrace.providers.reach import Reach

from tests.millrace.providers.conftest import FakeSecrets
from tests.training_containers.serve.fake import FakeEngine
from training_containers.serve.api import Server
from training_containers.serve.settings import Serving, Settings

TALK = Talk((Message("user", "one two three"),), 20)


@pytest.fixture(params=["loopback", "socket"])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Entry, Reach, FakeEngine]]:
    engine = FakeEngine()
    app = Server(engine, Settings(workers=1, queue=1, timeout_s=20.0), Serving()).app()
    path = str(tmp_path / "gguf.sock") if request.param == "socket" else None
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, uds=path, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.01)
        host = "" if path else "{}:{}".format(*server.servers[0].sockets[0].getsockname())
        entry = Entry("local", "gguf", base_url=f"unix:{path}" if path else f"http://{host}/v1", instruction="Rewrite.")
        allowed = Allowed.parse(f"unix:{path}" if path else host)
        yield entry, Reach(Keys(lambda: FakeSecrets({}), "keys"), allowed), engine  # type: ignore[arg-type, return-value]
    finally:
        engine.gate.set()
        server.should_exit = True
        thread.join(30)


def test_it_rewrites_streams_and_is_healthy(local: tuple[Entry, Reach, FakeEngine]) -> None:
    entry, reach, engine = local

    done = rewrite_of(entry, Ask("a b"), openai.chat(entry, ask_for(entry, Ask("a b")), 20.0, reach))
    assert (done.text, done.flags, done.output_tokens) == ("Fine day.", (), 4)
    assert [m["content"] for m in engine.messages[0]] == ["Rewrite.\n\na b"]
    *pieces, last = openai.stream(entry, TALK, 20.0, reach)
    assert pieces == ["Fine", " ", "day", "."] and isinstance(last, Completion) and last.flags == ()
    assert openai.health(entry, 20.0, reach).ok


def test_a_model_that_hangs_or_has_no_room_is_passed_over(local: tuple[Entry, Reach, FakeEngine]) -> None:
    entry, reach, engine = local
    engine.gate.clear()

    with pytest.raises(Unavailable, match="did not answer"):
        openai.chat(entry, TALK, 0.3, reach)

    waiting = [threading.Thread(target=_ignored, args=(entry, reach)) for _ in range(3)]
    for thread in waiting:
        thread.start()
    deadline = time.monotonic() + 20
    while True:
        assert time.monotonic() < deadline, "the queue never filled"
        try:
            openai.chat(entry, TALK, 0.3, reach)
        except Throttled as error:
            assert error.retry_after_s is not None and error.retry_after_s > 0
            break
        except Unavailable:
            continue
    engine.gate.set()
    for thread in waiting:
        thread.join(30)


def _ignored(entry: Entry, reach: Reach) -> None:
    try:
        openai.chat(entry, TALK, 20.0, reach)
    except Unavailable:
        pass
