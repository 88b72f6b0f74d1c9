"""White space in order, cuts at sentence ends, markers whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.text.trim import shorten, tidy

RED = "{{RED:says.  He will. not sleep}}"
PIECES = st.sampled_from(["a", "word", ".", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u200b", RED, "- item", "É"])
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("  One  two\tthree \r\nfour ", "One two three\nfour"),
        ("a\u00a0b\u200bc", "a bc"),
        ("a\n\n\n\n  b", "a\n\n  b"),
        ("- one\n    - two", "- one\n    - two"),
        (f"Note:  {RED} now", f"Note: {RED} now"),
    ],
)
def test_white_space_is_put_in_order(text: str, tidied: str) -> None:
    assert tidy(text) == tidied


@given(TEXTS)
def test_what_is_tidy_stays_and_no_word_or_marker_is_lost(text: str) -> None:
    tidied = tidy(text)

    assert tidy(tidied) == tidied
    assert re.sub(r"\s", "", tidied.replace(RED, "")) == re.sub(r"[\s\u200b]", "", text.replace(RED, ""))
    assert tidied.count(RED) == text.count(RED)


def test_a_cut_falls_where_a_sentence_ends() -> None:
    text = "She slept well. He did not. They talked until ten."

    assert shorten(text, lambda t: len(t) <= 30) == "She slept well. He did not."
    assert shorten(text, lambda t: len(t) <= 1000) == text
    assert shorten(text, lambda t: len(t) <= 5) == ""


def test_a_marker_with_full_stops_in_it_is_never_cut() -> None:
    text = f"She slept. {RED} is noted. She left."

    cuts = {shorten(text, lambda t, n=n: len(t) <= n) for n in range(len(text))}  # type: ignore[misc]

    assert cuts == {"", "She slept.", f"She slept. {RED} is noted."}


@given(TEXTS, st.integers(0, 60))
def test_what_is_left_is_the_start_and_fits(text: str, limit: int) -> None:
    cut = shorten(text, lambda t: len(t) <= limit)

    assert len(cut) <= limit and text.startswith(cut)
    assert cut.count("{{RED:") == cut.count(RED)
