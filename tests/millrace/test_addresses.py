from __future__ import annotations

from ipaddress import ip_address

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.addresses import METADATA, Allowed, check_address, check_url, unwrap
from millrace.errors import InvalidInput

NONE = Allowed()


@pytest.mark.parametrize(
    "url",
    [
        "http://llm.example.com/v1",
        "ftp://llm.example.com",
        "file:///etc/passwd",
        "https://",
        "https://user:pass@llm.example.com/v1",
        "https://llm.example.com/v1?x=1",
        "https://llm.example.com/v1#x",
        "https://llm.example.com:99999/v1",
        "https://[::1]/v1",
        "https://127.0.0.1/v1",
        "https://0.0.0.0/v1",
        "https://10.1.2.3/v1",
        "https://172.16.0.1",
        "https://192.168.1.1",
        "https://100.64.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/latest",
        "https://[fe80::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "unix:/run/secret.sock",
        "https://llm.example.com\\@evil.example.com/",
        "https://llm.example.com\t.evil.com/",
        "https://llm.example.com%2eevil.com/",
        "https://bücher.example/",
        " https://llm.example.com/",
        "",
    ],
)
def test_what_no_custom_url_may_be(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url, NONE)


@pytest.mark.parametrize("url", ["https://llm.example.com/v1", "https://8.8.8.8/v1", "https://[2606:4700::1111]:8443"])
def test_what_it_may_be(url: str) -> None:
    assert check_url(url, NONE).scheme == "https"


def test_an_operator_allows_a_host_a_port_a_network_or_a_socket_and_nothing_beside_it() -> None:
    allowed = Allowed.parse("models.internal, localhost:8080 ,10.1.0.0/16,unix:/run/gguf.sock")

    for url in (
        "http://models.internal/v1",
        "http://localhost:8080/v1",
        "http://10.1.2.3:9000",
        "https://10.1.255.1",
        "unix:/run/gguf.sock",
    ):
        check_url(url, allowed)
    for url in (
        "http://localhost:8081/v1",
        "http://10.2.0.1",
        "http://models.internal.evil.com",
        "unix:/run/GGUF.sock",
    ):
        with pytest.raises(InvalidInput):
            check_url(url, allowed)


def test_a_machines_credentials_are_out_of_reach_whatever_is_allowed() -> None:
    allowed = Allowed.parse("169.254.0.0/16,fd00::/8,metadata")

    for address in METADATA:
        with pytest.raises(InvalidInput):
            check_address(address, "metadata", 80, allowed)
    check_address(ip_address("169.254.7.7"), "x", 443, allowed)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_it_is_wrapped(address: object) -> None:
    plain = ip_address(str(address))
    wrapped = [f"::ffff:{plain}", f"64:ff9b::{plain}"]

    def passes(text: str) -> bool:
        try:
            check_address(ip_address(text), "h", 443, NONE)
        except InvalidInput:
            return False
        return True

    assert [passes(text) for text in wrapped] == [passes(str(plain))] * 2
    assert all(unwrap(ip_address(text)) == plain for text in wrapped)
    if plain.is_private or plain.is_loopback or plain.is_link_local or plain.is_multicast:
        assert not passes(str(plain)) or plain.is_global


@given(st.text(st.sampled_from("htps:/@.\\[]ab1-_%?# \t\n\u3002"), max_size=24))
def test_we_and_the_http_client_see_the_same_host(tail: str) -> None:
    url = f"https://{tail}"
    try:
        target = check_url(url, NONE)
    except InvalidInput:
        return
    assert (httpx2.URL(url).host, httpx2.URL(url).port or 443) == (target.host, target.port)
