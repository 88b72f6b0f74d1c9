"""The local API address: passes requests to the deployed HTTP API, with API Gateway's limits, and streams on.

What asks for a stream goes to the function that the stack streams from; in the cloud that has an address of its own.

On loopback a request without a key is the demo tenant's. Limits and words are those of an HTTP API in front of Lambda:
10 MB a request at the API, 6 MB at the function, 30 s for an answer.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .settings import Twin
from .streaming import Gone, NoStream, Server

MAX_REQUEST_BYTES = 10 * 1024 * 1024
MAX_EVENT_BYTES = 6 * 1024 * 1024
MAX_REPLY_BYTES = 6 * 1024 * 1024
DISCARDED_BYTES = 1 << 28
TIMEOUT_S = 30.0
AT_ONCE = 16
"""Requests on their way; more wait their turn. Each one keeps a process of the gateway, 80 MB."""
KEY_HEADER = "x-api-key"
STREAMED = ("/api/humanize", "/v1/chat/completions")
FOLLOWED = re.compile(r"/api/(training-)?jobs/[^/]+/progress")
DROPPED = {"host", "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "date"}


class Front(ThreadingHTTPServer):
    """Listens on loopback; `point_at` tells which API is behind it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, twin: Twin) -> None:
        super().__init__(("127.0.0.1", twin.api_port), _Handler)
        self.twin = twin
        self.turns = threading.BoundedSemaphore(AT_ONCE)
        self.prefix = ""
        self.demo_key = ""
        self.stream: Callable[[], Server] | None = None

    def point_at(self, api_id: str, demo_key: str, stream: Callable[[], Server] | None = None) -> None:
        """`stream` gives the server of what the stack streams from."""
        self.stream = stream
        self.prefix = f"/_aws/execute-api/{api_id}/$default"
        self.demo_key = demo_key

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, daemon=True, name="front").start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def _pass(self) -> None:
        if not self.server.prefix:
            self._say(503, "Service Unavailable")
            return
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_REQUEST_BYTES or _event_bytes(length, self.headers.get("Content-Type", "")) > MAX_EVENT_BYTES:
            self._discard(length)
            self._say(413, "Request Entity Too Large")
            return
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self._say(411, "Length Required")
            return
        body = self.rfile.read(length)
        if not self.server.turns.acquire(timeout=TIMEOUT_S):
            self._say(503, "Service Unavailable")
            return
        try:
            if self.server.stream is not None and _wants_a_stream(self.command, self.path, self.headers, body):
                self._stream(self.server.stream, body)
            else:
                self._exchange(body)
        finally:
            self.server.turns.release()

    def _discard(self, length: int) -> None:
        """Read what is sent anyway: a client that is still writing would see a broken pipe and not the answer."""
        self.close_connection = True
        left = min(length, DISCARDED_BYTES)
        while left > 0 and (chunk := self.rfile.read(min(left, 1 << 20))):
            left -= len(chunk)

    def _exchange(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.twin.aws_port, timeout=TIMEOUT_S)
        try:
            connection.request(self.command, self.server.prefix + self.path, body or None, self._headers())
            answer = connection.getresponse()
            reply = answer.read()
        except (OSError, http.client.HTTPException):
            self._say(503, "Service Unavailable")
            return
        finally:
            connection.close()
        if len(reply) > MAX_REPLY_BYTES:
            self._say(500, "Internal Server Error")
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in DROPPED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply)

    def _stream(self, stream: Callable[[], Server], body: bytes) -> None:
        """As it comes. A client that hangs up is hung up on, which the function's server hears."""
        try:
            connection = stream().connection()
            connection.request(self.command, self.path, body, self._headers())
        except (NoStream, OSError, http.client.HTTPException):
            self._say(502, "Bad Gateway")
            return
        with contextlib.closing(connection), Gone(self.connection, lambda: _hang_up(connection)):
            try:
                self._pass_on(connection.getresponse())
            except (OSError, ValueError, http.client.HTTPException):
                self.close_connection = True  # either side went away in the middle

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in DROPPED:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := answer.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _headers(self) -> dict[str, str]:
        kept = {name.lower(): value for name, value in self.headers.items() if name.lower() not in DROPPED}
        anonymous = KEY_HEADER not in kept and "authorization" not in kept
        if anonymous and self.server.demo_key and ipaddress.ip_address(self.client_address[0]).is_loopback:
            kept[KEY_HEADER] = self.server.demo_key
        kept["x-forwarded-host"] = self.headers.get("Host", "")
        return kept

    def _say(self, status: int, message: str) -> None:
        body = json.dumps({"message": message}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _pass

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the API's own access log is in the stack."""


def _wants_a_stream(method: str, path: str, headers: Any, body: bytes) -> bool:
    place, asked_for = path.partition("?")[0], "text/event-stream" in headers.get("Accept", "")
    if method == "GET":
        return asked_for and FOLLOWED.fullmatch(place) is not None
    if method != "POST" or place not in STREAMED:
        return False
    if asked_for:
        return True
    try:
        asked = json.loads(body)
    except ValueError:
        return False
    return isinstance(asked, dict) and asked.get("stream") is True


def _hang_up(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _event_bytes(length: int, content_type: str) -> int:
    """Size in the function's event: base64 unless the type is text."""
    text = content_type.startswith("text/") or "json" in content_type or "xml" in content_type
    return length if text else length * 4 // 3
