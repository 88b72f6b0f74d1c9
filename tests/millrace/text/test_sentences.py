"""Sentences: lossless for every string, right on plain prose, linear on hostile text."""

from __future__ import annotations

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
