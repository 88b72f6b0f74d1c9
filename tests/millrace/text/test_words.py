"""Words as they are counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from millrace.text.words import count_words, more_words

SPACED = st.text(st.sampled_from("aé \n\t\x0b\x1c\u00a0\u2003中."), max_size=60)


@given(SPACED)
def test_words_are_the_pieces_between_white_space(text: str) -> None:
    assert count_words(text) == len(text.split())


@given(SPACED, st.integers(0, 30))
def test_more_words_than_a_limit_are_told_without_counting_a_text_that_cannot_have_them(text: str, limit: int) -> None:
    assert more_words(text, limit) == (len(text.split()) > limit)
