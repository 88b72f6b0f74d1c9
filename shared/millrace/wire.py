"""One JSON request over a kept connection: checked addresses, one deadline over every byte, a bounded reply.

For whole answers in OpenAI's format, where an SDK would take 20 times as long as the wire does (2 ms of CPU a call,
0.7 s to import); what streams goes through the SDK and `egress`. `httptools` parses HTTP; no redirects, no proxies, no
compression. A connection that the other side has closed or written to meanwhile is never used again.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from httptools import HttpParserError, HttpResponseParser

from .addresses import Allowed, resolve
from .deadlines import in_time
from .errors import InvalidInput

T = TypeVar("T")
MAX_REPLY = 8_000_000
"""Bytes of one reply; 20,000 words of JSON-escaped text are under 1 MB."""
IDLE_S = 30.0
MOST_IDLE = 32
"""Connections to one place that are kept."""
CONNECT_S = 30.0
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_meanwhile: ContextVar[Callable[[], object] | None] = ContextVar("meanwhile", default=None)


class Oversized(Exception):
    """A reply is larger than anything that a model could mean."""


class Partial(Exception):
    """A reply broke off."""


class Walled(Exception):
    """The address is not one that may be reached."""


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Every byte in this block comes or goes before `deadline` (time.monotonic()), or times out."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """`work` is done while the first reply that is asked for in this block is on its way; never where none is."""
    token = _meanwhile.set(work)
    try:
        yield
    finally:
        _meanwhile.reset(token)


def stepped(pieces: Iterator[T], deadline: float) -> Iterator[T]:
    """The pieces of a stream, each fetched under the deadline; between them the consumer is under none."""
    while True:
        with until(deadline):
            try:
                piece = next(pieces)
            except StopIteration:
                return
        yield piece


def left(timeout: float | None = None) -> float | None:
    """Seconds to the deadline, `timeout` at most. TimeoutError where there are none."""
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline is over")
    return seconds if timeout is None else min(seconds, timeout)


def connected(host: str, port: int, allowed: Allowed, timeout: float | None = None) -> socket.socket:
    """A socket to an address of this host that was checked. InvalidInput where none may be reached."""
    wait = left(timeout)
    addresses = in_time(lambda: resolve(host.lower(), port, allowed), CONNECT_S if wait is None else wait)
    last = OSError("the name has no address")
    for address in addresses:
        try:
            sock = socket.create_connection((address, port), left(timeout))
        except OSError as error:
            last = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    raise last


def readable(sock: socket.socket) -> bool:
    """Something lies there to be read, the end perhaps."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


@cache
def tls() -> ssl.SSLContext:
    """Certificates are checked, against the system's bundle, or certifi's where the system has none."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes


class _Connection:
    """A kept connection to one place, used by one thread at a time."""

    def __init__(self, target: SplitResult, allowed: Allowed, uds: str) -> None:
        self.target, self.allowed, self.uds, self.idle_since = target, allowed, uds, 0.0
        self.sock: socket.socket | None = None

    def connect(self) -> socket.socket:
        host, secure = self.target.hostname or "localhost", self.target.scheme == "https"
        try:
            port = self.target.port or (443 if secure else 80)
            plain = self._unix() if self.uds else connected(host, port, self.allowed)
        except InvalidInput as error:
            raise Walled(str(error)) from error
        self.sock = plain
        if secure:
            plain.settimeout(left(CONNECT_S))
            self.sock = tls().wrap_socket(plain, server_hostname=host)
        return self.sock

    def _unix(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(left(CONNECT_S))
        sock.connect(self.uds)
        return sock

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    __del__ = close

    def fresh(self, now: float) -> bool:
        """Still good for a request."""
        return self.sock is not None and now - self.idle_since < IDLE_S and not readable(self.sock)


class _Reading:
    """What `httptools` tells of a reply while its bytes come in."""

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.status = self.size = 0
        self.begun = self.done = self.kept = False
        """`kept`: another reply may follow on this connection, and none has begun."""
        self.wrong = ""

    def on_message_begin(self) -> None:
        self.kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.done:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.done:
            return
        self.status = self.parser.get_status_code()
        self.begun = self.status >= 200
        if self.headers.get("content-encoding", "identity") != "identity":
            self.wrong = "the reply is compressed although that was not asked for"
        self._measure(int(self.headers.get("content-length", 0)))

    def on_body(self, body: bytes) -> None:
        if not self.done:
            self.pieces.append(body)
            self.size += len(body)
            self._measure(self.size)

    def on_message_complete(self) -> None:
        if self.done:
            return
        if self.begun:
            self.done, self.kept = True, self.parser.should_keep_alive()
        else:
            self.headers.clear()  # 100 Continue and its like, before the reply

    def _measure(self, size: int) -> None:
        if size > MAX_REPLY:
            self.wrong = f"the reply is over {MAX_REPLY:,} bytes"

    def feed(self, data: bytes) -> None:
        """ConnectionError or Partial where the other side has closed too early, Oversized for what none could mean."""
        if not data:
            self._ended()
            return
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            if not self.done:
                raise
            self.kept = False
        if self.wrong:
            raise Oversized(self.wrong)

    def _ended(self) -> None:
        if not self.begun:
            raise ConnectionResetError("closed by the other side")
        if "content-length" in self.headers or "transfer-encoding" in self.headers:
            raise Partial("closed in the middle of a reply")
        self.done = True


@dataclass
class Wire:
    """Kept connections, by where they lead and under which rules; one for each process."""

    clock: Callable[[], float] = time.monotonic
    _idle: dict[Any, list[_Connection]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def post(self, allowed: Allowed, url: str, body: bytes, headers: Mapping[str, str], uds: str = "") -> Reply:
        """The reply, whatever its status. OSError, Partial, HttpParserError, Walled or Oversized where there is none.

        `uds`: the path of a local socket that is spoken to in the host's place.
        """
        target = urlsplit(url)
        place = (target.scheme, target.netloc, uds, allowed)
        connection = self._taken(place) or _Connection(target, allowed, uds)
        try:
            reply = _asked(connection, target.path, body, headers)
        except BaseException:
            connection.close()
            raise
        self._given_back(place, connection)
        return reply

    def _taken(self, place: Any) -> _Connection | None:
        now = self.clock()
        while True:
            with self._lock:
                kept = self._idle.get(place)
                connection = kept.pop() if kept else None
            if connection is None or connection.fresh(now):
                return connection
            connection.close()

    def _given_back(self, place: Any, connection: _Connection) -> None:
        connection.idle_since = self.clock()
        with self._lock:
            kept = self._idle.setdefault(place, [])
            if connection.sock is not None and len(kept) < MOST_IDLE:
                kept.append(connection)
                return
        connection.close()


def _asked(connection: _Connection, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    # A compressed bomb would pass the limit on the wire, so no reply is compressed.
    told = {
        "host": connection.target.netloc,
        "accept-encoding": "identity",
        "content-length": str(len(body)),
        **headers,
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line end")
    sock = connection.sock or connection.connect()
    sock.settimeout(left(CONNECT_S))
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    if (work := _meanwhile.get()) is not None:
        _meanwhile.set(None)
        work()
    reading = _Reading()
    while not reading.done:
        sock.settimeout(left(CONNECT_S))
        reading.feed(sock.recv(1 << 16))
    if not reading.kept:
        connection.close()
    return Reply(reading.status, reading.headers, b"".join(reading.pieces))
