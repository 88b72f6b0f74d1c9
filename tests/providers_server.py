"""A scripted provider on loopback that speaks each real wire format, so that the official SDKs are the clients.

Formats by path: OpenAI chat completions, Anthropic messages, Gemini generateContent (each with its SSE), TensorFlow
Serving predict, TorchServe predictions, ping and management. What a request meets is a `Script`.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DRIP_S = 0.03


class Script(StrEnum):
    OK = "ok"
    THROTTLED = "throttled"
    """429 with Retry-After: 7."""
    QUOTA = "quota"
    WRONG_KEY = "wrong-key"
    """401 (Google: 400 API_KEY_INVALID) whose message quotes the key."""
    NO_MODEL = "no-model"
    BAD_REQUEST = "bad-request"
    """400 whose message quotes the request."""
    FILTERED = "filtered"
    SERVER_ERROR = "server-error"
    UNAVAILABLE = "unavailable"
    ERROR_INSIDE = "error-inside"
    """200 with an error object."""
    GARBAGE = "garbage"
    """200 and application/json, but random bytes."""
    PAGE = "page"
    """200 and an HTML page, as a captive proxy has it."""
    WRONG_SHAPE = "wrong-shape"
    """200 and valid JSON of another shape."""
    EMPTY = "empty"
    """A completion without a word in it."""
    CUT_OFF = "cut-off"
    """A completion that met the token limit."""
    NEGATIVE_USAGE = "negative-usage"
    HUGE_USAGE = "huge-usage"
    NO_USAGE = "no-usage"
    HANG = "hang"
    """The request is read, and nothing comes."""
    DRIP = "drip"
    """One byte of a good answer at a time, too slowly."""
    HALF_BODY = "half-body"
    """Half of a good answer, then the connection is closed."""
    RESET = "reset"
    RESET_MIDDLE = "reset-middle"
    REDIRECT = "redirect"
    FLOOD = "flood"
    """A body without an end."""
    COMPRESSED = "compressed"
    """A gzip body that nobody asked for."""


SOUND = frozenset({Script.OK, Script.NEGATIVE_USAGE, Script.HUGE_USAGE, Script.NO_USAGE})
"""A completion comes of these."""


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    script: Script
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Answer:
    """What the model says, and its true counts."""

    text: str
    input_tokens: int = 120
    output_tokens: int = 80
    cached_tokens: int = 20


def source_in(prompt: str) -> str:
    """The text that a humanize prompt holds between its fences, or the prompt itself."""
    found = re.search(r"<<<([0-9a-f]{16})\n(.*)\n\1>>>", prompt, re.DOTALL)
    return found[2] if found else prompt


class ProviderServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.closing = threading.Event()
        self.begin()

    def begin(self) -> None:
        """Forget what was seen and asked for."""
        self.seen: list[Seen] = []
        self.scripts: deque[Script] = deque()
        """What the next requests meet, in order; then `script`."""
        self.script = Script.OK
        self.choose: Callable[[str, Any], Script] | None = None
        """From path and body; where it stands, it decides."""
        self.answer: Callable[[str], Answer] = lambda prompt: Answer(source_in(prompt))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def url(self, path: str = "") -> str:
        return f"http://{self.host}{path}"

    def next_script(self, path: str, body: Any) -> Script:
        if self.choose is not None:
            return self.choose(path, body)
        return self.scripts.popleft() if self.scripts else self.script

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is what half of the scripts are about."""


@contextmanager
def provider_server() -> Iterator[ProviderServer]:
    server = ProviderServer()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


# --- wire formats -----------------------------------------------------------------------------------------------------
class Wire:
    """One format: how its prompt is read and how its answers, streams and errors look."""

    def prompt(self, body: Any) -> str:
        raise NotImplementedError

    def whole(self, answer: Answer, script: Script, body: Any) -> Any:
        raise NotImplementedError

    def events(self, answer: Answer, script: Script, body: Any) -> list[str]:
        """Server-sent events, each with its blank line."""
        raise NotImplementedError

    def error(self, status: int, code: str, message: str) -> Any:
        raise NotImplementedError

    quota = (429, "insufficient_quota")
    wrong_key = (401, "invalid_api_key")


def _usage(answer: Answer, script: Script) -> tuple[int, int] | None:
    if script is Script.NEGATIVE_USAGE:
        return -5, -1
    if script is Script.HUGE_USAGE:
        return 10**12, 10**12
    return None if script is Script.NO_USAGE else (answer.input_tokens, answer.output_tokens)


def _pieces(text: str) -> list[str]:
    return [text[i : i + 24] for i in range(0, len(text), 24)]


def _data(value: Any, event: str | None = None) -> str:
    return (f"event: {event}\n" if event else "") + f"data: {json.dumps(value)}\n\n"


class OpenAI(Wire):
    def prompt(self, body: Any) -> str:
        return str(body["messages"][-1]["content"])

    def finish(self, script: Script) -> str:
        return {Script.CUT_OFF: "length", Script.FILTERED: "content_filter"}.get(script, "stop")

    def usage(self, answer: Answer, script: Script) -> dict[str, Any] | None:
        counts = _usage(answer, script)
        if counts is None:
            return None
        details = {"cached_tokens": answer.cached_tokens}
        total = {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)}
        return total | {"prompt_tokens_details": details}

    def whole(self, answer: Answer, script: Script, body: Any) -> Any:
        content = None if script is Script.CUT_OFF and not answer.text else answer.text
        message = {"role": "assistant", "content": content, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": self.finish(script), "logprobs": None}
        reply = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}
        usage = self.usage(answer, script)
        return reply | {"choices": [choice]} | ({"usage": usage} if usage else {})

    def events(self, answer: Answer, script: Script, body: Any) -> list[str]:
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

        def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
            return _data(base | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        events = [chunk({"role": "assistant", "content": ""})]
        events += [chunk({"content": piece}) for piece in _pieces(answer.text)]
        events.append(chunk({}, self.finish(script)))
        usage = self.usage(answer, script)
        if usage and body.get("stream_options", {}).get("include_usage"):
            events.append(_data(base | {"choices": [], "usage": usage}))
        return [*events, "data: [DONE]\n\n"]

    def error(self, status: int, code: str, message: str) -> Any:
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


class Anthropic(Wire):
    quota = (402, "billing_error")
    wrong_key = (401, "authentication_error")

    def prompt(self, body: Any) -> str:
        return str(body["messages"][-1]["content"])

    def stop(self, script: Script) -> str:
        return {Script.CUT_OFF: "max_tokens", Script.FILTERED: "refusal"}.get(script, "end_turn")

    def usage(self, answer: Answer, script: Script) -> dict[str, int]:
        counts = _usage(answer, script)
        if counts is None:
            return {}
        cached = answer.cached_tokens if counts[0] == answer.input_tokens else 0
        return {"input_tokens": counts[0] - cached, "cache_read_input_tokens": cached, "output_tokens": counts[1]}

    def whole(self, answer: Answer, script: Script, body: Any) -> Any:
        reply = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
        content = [{"type": "thinking", "thinking": "", "signature": "s"}, {"type": "text", "text": answer.text}]
        ended = {"stop_reason": self.stop(script), "stop_sequence": None, "usage": self.usage(answer, script)}
        return reply | {"content": content} | ended

    def events(self, answer: Answer, script: Script, body: Any) -> list[str]:
        usage = self.usage(answer, script)
        start = {k: v for k, v in usage.items() if k != "output_tokens"} | ({"output_tokens": 1} if usage else {})
        message = self.whole(answer, Script.OK, body) | {"content": [], "stop_reason": None, "usage": start}
        parts: list[tuple[str, dict[str, Any]]] = [
            ("message_start", {"message": message}),
            ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
            ("ping", {}),
        ]
        for piece in _pieces(answer.text):
            parts.append(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": piece}}))
        parts.append(("content_block_stop", {"index": 0}))
        delta = {"stop_reason": self.stop(script), "stop_sequence": None}
        ended = {"output_tokens": usage["output_tokens"]} if usage else {}
        parts += [("message_delta", {"delta": delta, "usage": ended}), ("message_stop", {})]
        return [_data({"type": name} | more, name) for name, more in parts]

    def error(self, status: int, code: str, message: str) -> Any:
        return {"type": "error", "error": {"type": code, "message": message}, "request_id": "req_1"}


class Google(Wire):
    quota = (429, "RESOURCE_EXHAUSTED")
    wrong_key = (400, "API_KEY_INVALID")

    def prompt(self, body: Any) -> str:
        return str(body["contents"][-1]["parts"][0]["text"])

    def part(self, text: str, finish: str | None, usage: dict[str, int] | None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "modelVersion": "m"} | ({"usageMetadata": usage} if usage else {})

    def finish(self, script: Script) -> str:
        return {Script.CUT_OFF: "MAX_TOKENS", Script.FILTERED: "SAFETY"}.get(script, "STOP")

    def usage(self, answer: Answer, script: Script) -> dict[str, int] | None:
        counts = _usage(answer, script)
        if counts is None:
            return None
        thoughts = 30 if counts[1] > 30 else 0
        if script is Script.CUT_OFF and not answer.text:
            return {"promptTokenCount": counts[0], "thoughtsTokenCount": counts[1]}
        written = {"candidatesTokenCount": counts[1] - thoughts, "thoughtsTokenCount": thoughts}
        return {"promptTokenCount": counts[0], "cachedContentTokenCount": answer.cached_tokens} | written

    def whole(self, answer: Answer, script: Script, body: Any) -> Any:
        return self.part(answer.text, self.finish(script), self.usage(answer, script))

    def events(self, answer: Answer, script: Script, body: Any) -> list[str]:
        parts = [self.part(piece, None, None) for piece in _pieces(answer.text)]
        return [_data(part) for part in [*parts, self.part("", self.finish(script), self.usage(answer, script))]]

    def error(self, status: int, code: str, message: str) -> Any:
        error: dict[str, Any] = {"code": status, "message": message, "status": code}
        if code == "API_KEY_INVALID":
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code}
            error |= {"status": "INVALID_ARGUMENT", "details": [info]}
        return {"error": error}


class TFServing(Wire):
    def prompt(self, body: Any) -> str:
        return str(body["instances"][0])

    def whole(self, answer: Answer, script: Script, body: Any) -> Any:
        return {"predictions": [answer.text]}

    def error(self, status: int, code: str, message: str) -> Any:
        return {"error": message}


class TorchServe(Wire):
    def prompt(self, body: Any) -> str:
        return str(body["text"])

    def whole(self, answer: Answer, script: Script, body: Any) -> Any:
        return {"text": answer.text}

    def error(self, status: int, code: str, message: str) -> Any:
        return {"code": status, "type": "ServiceUnavailableException", "message": message}


def _wire(path: str) -> tuple[Wire, bool] | None:
    """The format that a POST to this path speaks, and whether the path itself says that it streams."""
    if path.endswith("/chat/completions"):
        return OpenAI(), False
    if path.endswith("/v1/messages"):
        return Anthropic(), False
    if found := re.search(r"/v1(?:beta)?/models/[^/]+:(stream)?[gG]enerateContent$", path):
        return Google(), bool(found[1])
    if re.search(r"/v1/models/[^:]+:predict$", path):
        return TFServing(), False
    return (TorchServe(), False) if "/predictions/" in path else None


# --- playing a script -------------------------------------------------------------------------------------------------
class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ProviderServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        script = self.note(path, None)
        if script is not Script.OK:
            return self.play(OpenAI(), script, Answer(""), {"model": "m"}, streams=False)
        self.send(200, _described(path, self.headers))

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        found = _wire(path)
        if found is None:
            return self.send(404, {"error": {"message": f"no such path {path}"}})
        wire, streams = found
        script = self.note(path, body)
        self.play(wire, script, self.server.answer(wire.prompt(body)), body, streams or body.get("stream") is True)

    def note(self, path: str, body: Any) -> Script:
        script = self.server.next_script(path, body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Seen(self.command, path, headers, body, script))
        return script

    def play(self, wire: Wire, script: Script, answer: Answer, body: Any, streams: bool) -> None:
        if refusal := self.refusal(wire, script, body):
            status, code, message, headers = refusal
            return self.send(status, wire.error(status, code, message), headers)
        if script is Script.EMPTY:
            answer = Answer("", 5, 0, 0)
        if streams:
            content = "".join(wire.events(answer, script, body)).encode()
            kind = "text/event-stream"
        else:
            content, kind = json.dumps(wire.whole(answer, script, body)).encode(), "application/json"
        if script is Script.ERROR_INSIDE:
            inside = wire.error(500, "internal_error", "something broke")
            content = (_data(inside) if streams else json.dumps(inside)).encode()
        self.deliver(script, content, kind)

    def refusal(self, wire: Wire, script: Script, body: Any) -> tuple[int, str, str, dict[str, str]] | None:
        key = self.headers.get("authorization") or self.headers.get("x-api-key") or self.headers.get("x-goog-api-key")
        table: dict[Script, tuple[int, str, str, dict[str, str]]] = {
            Script.THROTTLED: (429, "rate_limit_exceeded", "slow down", {"Retry-After": "7"}),
            Script.QUOTA: (*wire.quota, "you exceeded your current quota", {}),
            Script.WRONG_KEY: (*wire.wrong_key, f"incorrect key provided: {key}", {}),
            Script.NO_MODEL: (404, "model_not_found", "no such model", {}),
            Script.BAD_REQUEST: (400, "invalid_request_error", f"cannot take {json.dumps(body)}", {}),
            Script.SERVER_ERROR: (500, "internal_error", "it broke", {}),
            Script.UNAVAILABLE: (503, "overloaded_error", "overloaded", {}),
            Script.REDIRECT: (302, "moved", "elsewhere", {"Location": self.server.url("/elsewhere")}),
        }
        return table.get(script)

    def deliver(self, script: Script, content: bytes, kind: str) -> None:
        half = content[: len(content) // 2]
        if script is Script.HANG:
            self.wait()
        elif script is Script.RESET:
            self.reset()
        elif script in (Script.HALF_BODY, Script.RESET_MIDDLE):
            self.head(200, kind, len(content))
            self.wfile.write(half)
            self.reset() if script is Script.RESET_MIDDLE else self.hang_up()
        elif script is Script.DRIP:
            self.head(200, kind, len(content))
            self.drip(content)
        elif script is Script.GARBAGE:
            self.raw(bytes(range(128, 256)) * 4 + b'{"choices": [', kind)
        elif script is Script.PAGE:
            self.raw(b"<html><body>Please log in</body></html>", "text/html")
        elif script is Script.WRONG_SHAPE:
            shape = {"choices": {"a": 1}, "content": 7, "candidates": "x", "predictions": {}, "hello": [None]}
            self.raw((_data(shape) if kind.endswith("stream") else json.dumps(shape)).encode(), kind)
        elif script is Script.FLOOD:
            self.flood(kind)
        elif script is Script.COMPRESSED:
            self.head(200, kind, len(content), {"Content-Encoding": "gzip"})
            self.wfile.write(content)
        else:
            self.raw(content, kind)

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.head(status, "application/json", len(content), headers)
        self.wfile.write(content)

    def raw(self, content: bytes, kind: str) -> None:
        self.head(200, kind, len(content))
        self.wfile.write(content)

    def head(self, status: int, kind: str, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def drip(self, content: bytes) -> None:
        for byte in content:
            self.wfile.write(bytes([byte]))
            if self.left(DRIP_S):
                return

    def flood(self, kind: str) -> None:
        self.head(200, kind, 10**12)
        block = b" " * 65536
        while not self.server.closing.is_set():
            self.wfile.write(block)

    def wait(self) -> None:
        while not self.server.closing.is_set() and not self.left(0.1):
            pass
        self.close_connection = True

    def left(self, seconds: float) -> bool:
        """Whether the client has gone, after waiting for that at most so long."""
        ready, _, _ = select.select([self.connection], [], [], seconds)
        return bool(ready) and not self.connection.recv(1, socket.MSG_PEEK)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _described(path: str, headers: Any) -> Any:
    """What each format answers when it is asked about its models and its health."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    if path == "/ping":
        return {"status": "Healthy"}
    if "x-goog-api-key" in headers:
        return {"name": f"models/{name}", "inputTokenLimit": 1_048_576}
    if path.endswith("/v1/models"):
        names = ("served", "gpt-6-luna", "openai/gpt-oss-20b")
        return {"object": "list", "data": [{"id": n, "object": "model", "created": 1, "owned_by": "m"} for n in names]}
    if "anthropic-version" in headers:
        return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
    if "/v1/models/" in path:
        return {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK"}}]}
    return [{"modelName": name, "modelVersion": "1.0", "workers": [{"id": "9000", "status": "READY"}]}]
