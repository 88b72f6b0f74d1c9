"""A cursor opens where it was given and nowhere else."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.cursors import FOREIGN, seal, unseal
from millrace.errors import InvalidInput

from tests.fakes import examples

KEY, BOUND = b"signs", ("acme", "/api/drops", "state", "collected")
TEXT = st.text(max_size=60).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))


@examples(200)
@given(cursor=TEXT, bound=st.lists(TEXT, max_size=5))
def test_a_cursor_opens_where_it_was_given(cursor: str, bound: list[str]) -> None:
    assert unseal(KEY, bound, seal(KEY, bound, cursor)) == cursor


@examples(200)
@given(cursor=TEXT, bound=st.lists(TEXT, max_size=4), other=st.lists(TEXT, max_size=4))
def test_a_cursor_of_another_tenant_route_or_filter_is_refused(cursor: str, bound: list[str], other: list[str]) -> None:
    if bound == other:
        other = [*other, ""]

    with pytest.raises(InvalidInput, match="not one of this list"):
        unseal(KEY, other, seal(KEY, bound, cursor))


def test_every_changed_bit_is_seen() -> None:
    raw = base64.urlsafe_b64decode(seal(KEY, BOUND, "here") + "==")

    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidInput, match="not one of this list"):
            unseal(KEY, BOUND, base64.urlsafe_b64encode(changed).decode().rstrip("="))


@examples(300)
@given(st.one_of(st.text(max_size=80), st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_no_text_is_a_cursor_by_chance(made_up: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        unseal(KEY, BOUND, made_up)

    assert str(refused.value) == FOREIGN


def test_the_signature_is_hmac_sha_256_over_parts_with_their_lengths() -> None:
    """Against the standard library's own, written out."""
    parts = [*(part.encode() for part in BOUND), b"here"]
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    raw = base64.urlsafe_b64decode(seal(KEY, BOUND, "here") + "==")

    assert raw == hmac.digest(KEY, message, "sha256")[:16] + b"here"
