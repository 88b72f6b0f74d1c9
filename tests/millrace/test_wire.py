"""The lean way out, against a server on loopback; what it has in common with the SDKs' way is in test_egress."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from httptools import HttpParserError
from millrace.addresses import Allowed
from millrace.wire import MAX_REPLY, Oversized, Partial, Walled, Wire, meanwhile, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def serving(*replies: bytes | Callable[[], bytes]) -> Iterator[tuple[str, list[bytes], list[int]]]:
    """Answers requests in order, whatever connection they come on; then hangs. (URL, requests, connections)."""
    requests: list[bytes] = []
    connections: list[int] = []
    waiting = iter(replies)

    def talk(client: socket.socket) -> None:
        with client:
            while request := client.recv(65536):
                requests.append(request)
                said = next(waiting, b"")
                reply = said() if callable(said) else said
                if reply:
                    client.sendall(reply)
                if b"Connection: close" in reply or not reply:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                connections.append(1)
                threading.Thread(target=talk, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", requests, connections
        listener.shutdown(socket.SHUT_RDWR)


def _allowed(url: str) -> Allowed:
    return Allowed(frozenset({url.split("/")[2]}))


def _post(wire: Wire, url: str, **more: str) -> bytes:
    with until(time.monotonic() + 5):
        return wire.post(_allowed(url), url, b"{}", more).content


def test_a_connection_is_kept_and_a_request_is_one_write() -> None:
    with serving(OK, OK, OK) as (url, requests, connections):
        wire = Wire()
        assert [_post(wire, url, authorization="Bearer k") for _ in range(3)] == [b"{}"] * 3

    assert len(connections) == 1
    head, body = requests[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /v1 HTTP/1.1\r\nhost: 127.0.0.1:") and body == b"{}"
    assert b"authorization: Bearer k" in head and b"accept-encoding: identity" in head


def test_what_can_be_done_meanwhile_is_done_once_the_request_has_left_and_before_the_reply() -> None:
    arrived, done = threading.Event(), threading.Event()
    seen: list[int] = []

    def work() -> None:
        assert arrived.wait(5)
        seen.append(len(requests))
        done.set()

    def reply() -> bytes:
        arrived.set()
        return OK if done.wait(5) else b""

    with serving(reply, OK) as (url, requests, _), meanwhile(work):
        wire = Wire()
        assert [_post(wire, url), _post(wire, url)] == [b"{}", b"{}"]

    assert seen == [1]


@pytest.mark.parametrize("ends", [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"])
def test_a_connection_that_the_other_side_closes_is_not_used_again(ends: bytes) -> None:
    with serving(ends, OK) as (url, _, connections):
        wire = Wire()
        assert (_post(wire, url), _post(wire, url)) == (b"{}", b"{}")

    assert len(connections) == 2


def test_what_is_said_without_being_asked_ends_the_connection() -> None:
    """Else it would be read as the answer to the next request."""
    with serving(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", OK) as (url, _, _connections):
        wire = Wire()
        assert (_post(wire, url), _post(wire, url)) == (b"{}", b"{}")


def test_an_idle_connection_is_let_go_after_a_while() -> None:
    now = [0.0]
    with serving(OK, OK) as (url, _, connections):
        wire = Wire(clock=lambda: now[0])
        _post(wire, url)
        now[0] = 31.0
        _post(wire, url)

    assert len(connections) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{" % (MAX_REPLY + 1),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_reply_that_is_too_large_or_compressed_is_refused(reply: bytes) -> None:
    with serving(reply) as (url, _, _connections), pytest.raises(Oversized):
        _post(Wire(), url)


def test_chunks_are_put_together() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    with serving(chunked, OK) as (url, _, connections):
        wire = Wire()
        assert (_post(wire, url), _post(wire, url)) == (b"{}", b"{}")

    assert len(connections) == 1


def test_a_reply_may_end_with_its_connection_and_begin_with_a_hint_that_it_will_come() -> None:
    hinted = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    ends = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"
    with serving(hinted, ends, OK) as (url, _, connections):
        wire = Wire()
        assert [_post(wire, url) for _ in range(3)] == [b"{}"] * 3

    assert len(connections) == 2


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n{}", Partial),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{", Partial),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Le", ConnectionError),
        (b"SSH-2.0-OpenSSH_9.6\r\n", HttpParserError),
    ],
)
def test_what_is_no_whole_reply_is_none(reply: bytes, error: type[Exception]) -> None:
    with serving(reply) as (url, _, _connections), pytest.raises(error):
        _post(Wire(), url)


@pytest.mark.parametrize("spoil", [lambda url: {"x": "a\r\nhost: evil"}, lambda url: {"x": "a\nb"}])
def test_a_header_with_a_line_end_never_leaves(spoil: Callable[[str], dict[str, str]]) -> None:
    with serving(OK) as (url, requests, _), pytest.raises(ValueError, match="line end"):
        _post(Wire(), url, **spoil(url))

    assert requests == []


def test_an_address_that_is_not_allowed_is_not_connected_to() -> None:
    with serving(OK) as (url, requests, connections), pytest.raises(Walled), until(time.monotonic() + 5):
        Wire().post(Allowed(), url, b"{}", {})

    assert not requests and not connections


def test_a_reply_that_drips_ends_at_the_deadline_and_its_connection_is_not_kept() -> None:
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{") as (url, _, _connections):
        wire, began = Wire(), time.monotonic()
        with pytest.raises(TimeoutError), until(began + 0.2):
            wire.post(_allowed(url), url, b"{}", {})

        assert time.monotonic() - began < 1.0
        assert not any(wire._idle.values())
