"""The one way out to models of others: checked addresses, one deadline over a whole call, bounded replies.

A deadline holds over connecting, writing and every byte read, so a slow drip ends in time; httpx's own timeouts are
per operation. No redirects, no proxies and no extra headers: only those of `HEADERS` leave. Imports httpx2.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpcore2
import httpx2

from .addresses import Allowed
from .errors import InvalidInput
from .wire import MAX_REPLY, Oversized, Walled, connected, left, readable, tls

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


class _TooMuch(Oversized, httpx2.RequestError):
    """As an error that an SDK knows."""


class _Stream(httpcore2.NetworkStream):
    """A socket whose every operation ends at the deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _mapped(httpcore2.ReadTimeout, httpcore2.ReadError):
            self.sock.settimeout(left(timeout))
            return self.sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _mapped(httpcore2.WriteTimeout, httpcore2.WriteError):
            self.sock.settimeout(left(timeout))
            self.sock.sendall(buffer)  # one timeout for all of it

    def close(self) -> None:
        self.sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            try:
                self.sock.settimeout(left(timeout))
                return _Stream(ssl_context.wrap_socket(self.sock, server_hostname=server_hostname))
            except BaseException:
                self.close()
                raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return readable(self.sock)
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
            return _Stream(connected(host, port, self.allowed, timeout))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> _Stream:
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(left(timeout))
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
                raise _TooMuch(f"the reply is over {MAX_REPLY:,} bytes")
            yield part

    def close(self) -> None:
        self.end()


class _Transport(httpx2.HTTPTransport):
    def __init__(self, allowed: Allowed, uds: str | None) -> None:
        super().__init__(verify=tls(), trust_env=False, uds=uds)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls(),
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
            raise _TooMuch("the reply is compressed although that was not asked for")
        stream = response.stream
        assert isinstance(stream, httpx2.SyncByteStream)  # noqa: S101 - a sync transport answers nothing else
        response.stream = _Bounded(stream, stream.close)
        return response


@cache
def http(allowed: Allowed, uds: str | None = None) -> httpx2.Client:
    """One client, and so one pool of connections, for each policy."""
    return httpx2.Client(transport=_Transport(allowed, uds), follow_redirects=False, trust_env=False, timeout=30)
