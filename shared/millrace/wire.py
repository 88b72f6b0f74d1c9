"""One JSON request over a kept connection: checked addresses, one deadline over every byte, a bounded reply. Stdlib.

For whole answers in OpenAI's format, where an SDK would take 20 times as long as the wire does (2 ms of CPU a call,
0.7 s to import); what streams goes through the SDK and `egress`. The stdlib parses HTTP; no redirects, no proxies, no
compression. A connection that the other side has closed or written to meanwhile is never used again.
"""

from __future__ import annotations

import io
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
from http.client import HTTPConnection, HTTPResponse
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

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


class _Socket:
    """What `http.client` asks of a socket; closed with the last reply that is read from it, as a real one is."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.readers, self.closing = sock, 0, False

    def sendall(self, data: Any) -> None:
        self.sock.settimeout(left(CONNECT_S))
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        self.readers += 1
        return io.BufferedReader(_Reader(self), 1 << 16)

    def close(self) -> None:
        self.closing = True
        if not self.readers:
            self.sock.close()

    def __del__(self) -> None:
        self.sock.close()


class _Reader(io.RawIOBase):
    """Reads of a socket, each under what is left of the deadline."""

    def __init__(self, owner: _Socket) -> None:
        self.owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.owner.sock.settimeout(left(CONNECT_S))
        return self.owner.sock.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            self.owner.readers -= 1
            super().close()
            if self.owner.closing:
                self.owner.close()


class _Connection(HTTPConnection):
    def __init__(self, target: SplitResult, allowed: Allowed, uds: str) -> None:
        super().__init__(target.hostname or "localhost", target.port or (443 if target.scheme == "https" else 80))
        self.target, self.allowed, self.uds, self.idle_since = target, allowed, uds, 0.0

    def connect(self) -> None:
        try:
            plain = self._unix() if self.uds else connected(self.host, self.port, self.allowed)
        except InvalidInput as error:
            raise Walled(str(error)) from error
        try:
            if self.target.scheme == "https":
                plain.settimeout(left(CONNECT_S))
                plain = tls().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        self.sock: Any = _Socket(plain)

    def _unix(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(left(CONNECT_S))
        sock.connect(self.uds)
        return sock

    def fresh(self, now: float) -> bool:
        """Still good for a request."""
        return self.sock is not None and now - self.idle_since < IDLE_S and not readable(self.sock.sock)


@dataclass
class Wire:
    """Kept connections, by where they lead and under which rules; one for each process."""

    clock: Callable[[], float] = time.monotonic
    _idle: dict[Any, list[_Connection]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def post(self, allowed: Allowed, url: str, body: bytes, headers: Mapping[str, str], uds: str = "") -> Reply:
        """The reply, whatever its status. OSError, HTTPException, Walled or Oversized where there is none.

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
    if connection.sock is None:
        connection.connect()
    # In one write: http.client's own would be two, and two packets.
    connection.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    if (work := _meanwhile.get()) is not None:
        _meanwhile.set(None)
        work()
    response = HTTPResponse(connection.sock, method="POST")
    try:
        response.begin()
        content = _read(response)
        if response.will_close:
            connection.close()
    finally:
        response.close()
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


def _read(response: HTTPResponse) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Oversized("the reply is compressed although that was not asked for")
    if (response.length or 0) > MAX_REPLY:
        raise Oversized(f"the reply is over {MAX_REPLY:,} bytes")
    if response.length is not None:
        return response.read()
    content = response.read(MAX_REPLY + 1)
    if len(content) > MAX_REPLY:
        raise Oversized(f"the reply is over {MAX_REPLY:,} bytes")
    return content
