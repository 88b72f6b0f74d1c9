"""The way out, against a real server on loopback that the operator allows, or does not."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
from millrace import egress, wire
from millrace.addresses import Allowed

from tests.providers_server import ProviderServer, Script, provider_server


@pytest.fixture(scope="module")
def _server() -> Iterator[ProviderServer]:
    with provider_server() as server:
        yield server


@pytest.fixture
def server(_server: ProviderServer) -> ProviderServer:
    _server.begin()
    return _server


def _http(server: ProviderServer) -> httpx2.Client:
    return egress.http(Allowed(frozenset({server.host})))


def _causes(error: BaseException | None) -> list[type]:
    found = []
    while error is not None:
        found.append(type(error))
        error = error.__cause__ or error.__context__
    return found


def test_an_address_that_is_not_public_is_not_connected_to(server: ProviderServer) -> None:
    with pytest.raises(Exception) as raised:
        egress.http(Allowed()).get(server.url("/ping"))

    assert wire.Walled in _causes(raised.value)
    assert server.seen == []


def test_a_name_that_leads_inside_is_not_connected_to(server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    asked: list[object] = []

    def rebinding(host: object, port: object, *args: object, **more: object) -> object:
        """Public at the first answer, inside at the second."""
        asked.append(host)
        return real("127.0.0.1" if len(asked) > 1 or host == "inside.example.com" else "192.0.2.1", port, *args, **more)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(Exception) as raised:
        egress.http(Allowed()).get(f"http://inside.example.com:{server.server_address[1]}/ping")

    assert wire.Walled in _causes(raised.value) and server.seen == []
    assert asked == ["inside.example.com"], "the name is asked once, and the address that was checked is used"


def test_only_the_listed_headers_leave(server: ProviderServer) -> None:
    noisy = {"Cookie": "a=b", "X-Stainless-OS": "Linux", "OpenAI-Organization": "org", "X-Forwarded-For": "1.2.3.4"}
    _http(server).get(server.url("/ping"), headers=noisy | {"Authorization": "Bearer x"})

    assert set(server.seen[0].headers) <= egress.HEADERS
    assert server.seen[0].headers["authorization"] == "Bearer x"


def test_redirects_are_not_followed(server: ProviderServer) -> None:
    server.script = Script.REDIRECT

    assert _http(server).get(server.url("/ping")).status_code == 302
    assert [seen.path for seen in server.seen] == ["/ping"]


@pytest.mark.parametrize("script", [Script.FLOOD, Script.COMPRESSED])
def test_a_reply_is_bounded(server: ProviderServer, script: Script) -> None:
    server.script = script

    with pytest.raises(wire.Oversized):
        _http(server).post(server.url("/v1/chat/completions"), json={"model": "m", "messages": [{"content": "x"}]})


def test_a_deadline_holds_over_a_whole_drip_and_between_pieces_it_does_not(server: ProviderServer) -> None:
    server.script = Script.DRIP
    body = {"model": "m", "messages": [{"content": "x" * 500}]}

    began = time.monotonic()
    with pytest.raises(httpx2.ReadTimeout), wire.until(began + 0.3):
        _http(server).post(server.url("/v1/chat/completions"), json=body)
    assert 0.25 < time.monotonic() - began < 1.5

    server.script = Script.OK
    assert _http(server).get(server.url("/ping")).status_code == 200


def test_a_stream_is_stepped_under_the_deadline_and_its_consumer_is_not() -> None:
    def pieces() -> Iterator[float | None]:
        yield wire._deadline.get()
        yield wire._deadline.get()

    seen = [(piece, wire._deadline.get()) for piece in wire.stepped(pieces(), 123.0)]

    assert seen == [(123.0, None), (123.0, None)]


def test_a_handshake_that_never_ends_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=lambda: listener.accept()[0].recv(1), daemon=True).start()
        began = time.monotonic()
        with pytest.raises((httpx2.ConnectTimeout, httpx2.ConnectError)), wire.until(began + 0.3):
            egress.http(Allowed(frozenset({f"127.0.0.1:{port}"}))).get(f"https://127.0.0.1:{port}/")
        assert time.monotonic() - began < 1.5


def test_certificates_are_checked() -> None:
    context = wire.tls()

    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


def test_a_name_server_that_hangs_costs_no_more_than_the_deadline(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: released.wait(20) and [])
    began = time.monotonic()
    try:
        with pytest.raises(httpx2.ConnectTimeout), wire.until(began + 0.3):
            egress.http(Allowed()).get("https://slow.example.com/")
        assert time.monotonic() - began < 1.5
    finally:
        released.set()


def test_a_local_socket_is_reached_where_the_operator_says_so(tmp_path: object) -> None:
    path = f"{tmp_path}/s.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)

        def serve() -> None:
            client, _ = listener.accept()
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            client.close()

        threading.Thread(target=serve, daemon=True).start()
        assert egress.http(Allowed(frozenset({f"unix:{path}"})), path).get("http://localhost/v1").text == "hi"
