"""The front streams what the stack streams, as it comes, and hangs up when its client does."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdk.local import front as module
from cdk.local.front import Front
from cdk.local.settings import Twin
from cdk.local.streaming import Function, NoStream, Server

APP = """
import http.server, os, pathlib, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(204); self.end_headers()
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Transfer-Encoding", "chunked")
        self.send_header("x-key", self.headers.get("x-api-key", "")); self.end_headers()
        go, heard = pathlib.Path(os.environ["GO"]), pathlib.Path(os.environ["HEARD"])
        self.chunk(b"first ")
        while not go.exists():
            time.sleep(0.02)
            if self.connection.recv(1, 0x42) == b"" if self.ready() else False:
                heard.write_text("gone"); return
        self.chunk(body); self.chunk(b"")
    def ready(self):
        import select
        return bool(select.select([self.connection], [], [], 0)[0])
    def chunk(self, data):
        self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data)); self.wfile.flush()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["AWS_LWA_PORT"])), Handler).serve_forever()
"""
BODY = json.dumps({"stream": True, "text": "rest"}).encode()


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Twin:
    monkeypatch.setattr(Twin, "logs", property(lambda self: tmp_path))
    return Twin(api_port=0, aws_port=1, engine_python=Path("/usr/bin/python3"))


@pytest.fixture
def server(twin: Twin, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "run.sh").write_text('exec python3 "$LAMBDA_TASK_ROOT/app.py"')
    env = {"GO": str(tmp_path / "go"), "HEARD": str(tmp_path / "heard"), "AWS_LWA_READINESS_CHECK_PATH": "/"}
    made = Server(twin, Function("stream", tmp_path, "run.sh", env, 30.0))
    yield made
    made.stop()


@pytest.fixture
def front(twin: Twin, server: Server) -> Iterator[Front]:
    made = Front(twin)
    made.point_at("api", "mr_demo", lambda: server)
    made.start()
    yield made
    made.shutdown()
    made.server_close()


def _ask(front: Front, path: str = "/api/humanize", body: bytes = BODY) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", front.server_address[1], timeout=30)
    connection.request("POST", path, body, {"content-type": "application/json"})
    return connection


def _until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return holds()


def test_a_stream_arrives_as_it_is_written_with_the_demo_key(front: Front, tmp_path: Path) -> None:
    reply = _ask(front).getresponse()
    assert reply.read1(6) == b"first " and not (tmp_path / "go").exists()
    (tmp_path / "go").touch()

    assert reply.read() == BODY and reply.getheader("x-key") == "mr_demo"


def test_a_client_that_hangs_up_is_heard_by_the_function(front: Front, tmp_path: Path) -> None:
    connection = _ask(front)
    assert connection.getresponse().read1(6) == b"first "
    assert connection.sock is not None
    connection.sock.close()
    connection.close()

    assert _until((tmp_path / "heard").exists)


def test_the_process_is_started_once_and_again_when_it_died(front: Front, server: Server, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    assert _ask(front).getresponse().status == 200
    assert server.process is not None
    first = server.process.pid
    assert _ask(front).getresponse().status == 200 and server.process.pid == first
    server.process.kill()
    server.process.wait()

    assert _ask(front).getresponse().status == 200 and server.process.pid != first


@pytest.mark.parametrize(
    ("method", "path", "accept", "body", "streams"),
    [
        ("POST", "/api/humanize", "text/event-stream", b"{}", True),
        ("POST", "/v1/chat/completions", "", b'{"stream": true}', True),
        ("POST", "/v1/chat/completions?x=1", "", b'{"stream": true}', True),
        ("POST", "/v1/chat/completions", "", b'{"stream": false}', False),
        ("POST", "/api/humanize", "application/json", b"not json", False),
        ("POST", "/api/humanize", "", b"[1]", False),
        ("POST", "/api/feedback", "text/event-stream", b"{}", False),
        ("GET", "/api/humanize", "text/event-stream", b"", False),
        ("GET", "/api/training-jobs/j1/progress", "text/event-stream", b"", True),
        ("GET", "/api/jobs/j1/progress?x=1", "text/event-stream", b"", True),
        ("GET", "/api/jobs/j1/progress", "application/json", b"", False),
        ("GET", "/api/jobs/j1/logs", "text/event-stream", b"", False),
    ],
)
def test_only_what_asks_for_a_stream_gets_one(method: str, path: str, accept: str, body: bytes, streams: bool) -> None:
    assert module._wants_a_stream(method, path, {"Accept": accept}, body) is streams


def test_a_function_that_does_not_come_up_or_does_not_stream_is_a_bad_gateway(front: Front, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("exit 3")
    assert _ask(front).getresponse().status == 502

    def nothing() -> Any:
        raise NoStream("The stack streams nothing.")

    front.stream = nothing
    assert _ask(front).getresponse().status == 502
