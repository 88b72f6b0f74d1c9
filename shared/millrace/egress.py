"""The one way out to models of others: checked addresses, one deadline over a whole call, bounded replies.

A deadline holds over connecting, writing and every byte read, so a slow drip ends in time; httpx's own timeouts are
per operation. No redirects, no proxies and no extra headers: only those of `HEADERS` leave. Imports httpx2.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import httpcore2
import httpx2

from .addresses import Allowed, resolve
from .deadlines import in_time
from .errors import InvalidInput

T = TypeVar("T")
MAX_REPLY = 8_000_000
"""Bytes of one reply; 20,000 words of JSON-escaped text are under 1 MB."""
HEADERS = frozenset(
    {
        "host",
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
        "user-agent",
        "x-goog-api-key",
        "anthropic-version",
    }
)
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class Oversized(httpx2.RequestError):
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


def stepped(pieces: Iterator[T], deadline: float) -> Iterator[T]:
    """The pieces of a stream, each fetched under the deadline; between them the consumer is under none."""
    while True:
        with until(deadline):
            try:
                piece = next(pieces)
            except StopIteration:
                return
        yield piece


def _left(timeout: float | None) -> float | None:
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left if timeout is None else min(left, timeout)


class _Stream(httpcore2.NetworkStream):
    """A socket whose every operation ends at the deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _mapped(httpcore2.ReadTimeout, httpcore2.ReadError):
            self.sock.settimeout(_left(timeout))
            return self.sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _mapped(httpcore2.WriteTimeout, httpcore2.WriteError):
            self.sock.settimeout(_left(timeout))
            self.sock.sendall(buffer)  # one timeout for all of it

    def close(self) -> None:
        self.sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            try:
                self.sock.settimeout(_left(timeout))
                return _Stream(ssl_context.wrap_socket(self.sock, server_hostname=server_hostname))
            except BaseException:
                self.close()
                raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            return bool(poll.poll(0))
        if info == "ssl_object" and isinstance(self.sock, ssl.SSLSocket):
            return self.sock._sslobj  # type: ignore[attr-defined]
        return self.sock if info == "socket" else None


class _Backend(httpcore2.NetworkBackend):
    """Resolves, checks and connects to the address that was checked."""

    def __init__(self, allowed: Allowed) -> None:
        self.allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Stream:
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            left = _left(timeout)
            addresses = in_time(lambda: resolve(host.lower(), port, self.allowed), 30 if left is None else left)
            return self._connect(addresses, port, timeout)

    def _connect(self, addresses: list[str], port: int, timeout: float | None) -> _Stream:
        last = OSError("the name has no address")
        for address in addresses:
            try:
                sock = socket.create_connection((address, port), _left(timeout))
            except OSError as error:
                last = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Stream(sock)
        raise last

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> _Stream:
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(_left(timeout))
            sock.connect(path)
            return _Stream(sock)


@contextmanager
def _mapped(timeout: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error
    except InvalidInput as error:
        raise Walled(str(error)) from error


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, stream: Iterable[bytes], close: Callable[[], None]) -> None:
        self.stream, self.end, self.size = stream, close, 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self.stream:
            self.size += len(part)
            if self.size > MAX_REPLY:
                raise Oversized(f"the reply is over {MAX_REPLY:,} bytes")
            yield part

    def close(self) -> None:
        self.end()


class _Transport(httpx2.HTTPTransport):
    def __init__(self, allowed: Allowed, uds: str | None) -> None:
        super().__init__(verify=_tls(), trust_env=False, uds=uds)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_tls(),
            max_connections=100,
            max_keepalive_connections=32,
            keepalive_expiry=30,
            uds=uds,
            network_backend=_Backend(allowed),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        # A compressed bomb would pass the size limit on the wire: no reply is compressed.
        request.headers["accept-encoding"] = "identity"
        for name in [name for name in request.headers if name not in HEADERS]:
            del request.headers[name]
        response = super().handle_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise Oversized("the reply is compressed although that was not asked for")
        stream = response.stream
        assert isinstance(stream, httpx2.SyncByteStream)  # noqa: S101 - a sync transport answers nothing else
        response.stream = _Bounded(stream, stream.close)
        return response


@cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


@cache
def http(allowed: Allowed, uds: str | None = None) -> httpx2.Client:
    """One client, and so one pool of connections, for each policy."""
    return httpx2.Client(transport=_Transport(allowed, uds), follow_redirects=False, trust_env=False, timeout=30)
