"""Sentences: lossless for every string, right on plain prose, linear on hostile text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.text.sentences import split


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=400))
def test_the_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


def test_abbreviations_and_decimals_end_no_sentence() -> None:
    text = "Dr. Smith paid $3.50. He left, e.g. by bus. Really?"

    assert split(text) == ["Dr. Smith paid $3.50. ", "He left, e.g. by bus. ", "Really?"]


def test_a_text_longer_than_one_part_is_split_as_its_paragraphs_are() -> None:
    paragraph = "The first one is short. The second is a little longer.\n\n"

    assert split(paragraph * 900) == split(paragraph) * 900
    assert "".join(split("第一。\n\n" * 9_000)) == "第一。\n\n" * 9_000


_WIDE = " \xa0\x85\u1680\u2003\u2028\u2029\u202f\u205f\u3000"


@pytest.mark.parametrize("gap", [*_WIDE, "\xa0\xa0", ". \xa0", "/\u2003"])
def test_a_letter_before_a_wide_space_and_a_full_stop_is_text_like_any_other(gap: str) -> None:
    text = f"We took plan B{gap}. It rained."

    assert "".join(split(text)) == text
    assert "".join(split(f"B{gap}.")) == f"B{gap}."


@given(
    st.lists(st.sampled_from(["A", "b", "J.", "Mr.", "Foo", "!", "é", "“", "日", ".", *_WIDE]), max_size=9).map("".join)
)
def test_no_soup_of_letters_stops_and_spaces_is_too_much(text: str) -> None:
    assert "".join(split(text)) == text
