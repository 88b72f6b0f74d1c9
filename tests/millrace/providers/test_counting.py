from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from millrace.catalogue import Entry
from millrace.providers import Message, Talk
from millrace.providers.counting import counted, estimate

ENTRY = Entry("m", "openai", max_output=10_000)
TALK = Talk((Message("user", "Some words to be counted. " * 40),))
COUNTS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.none()))


@given(COUNTS, COUNTS, COUNTS, st.text(max_size=200), st.integers(0, 5000))
def test_whatever_a_provider_claims_the_counts_can_be_true(
    read: object, written: object, cached: object, text: str, limit: int
) -> None:
    done = counted(ENTRY, TALK, text, read, written, cached, sent_limit=limit)

    assert 0 < done.input_tokens <= 1040 + 512
    assert 0 <= done.output_tokens <= max(limit or 10_000, estimate(text))
    assert 0 <= done.cached_tokens <= done.input_tokens
    trusted = type(read) is int and 0 < read <= 1552 and type(written) is int and 0 <= written <= (limit or 10_000)
    if trusted and (written or not text):
        assert (done.input_tokens, done.output_tokens, done.flags) == (read, written, ())


def test_an_estimate_is_near_what_tokenizers_count_of_english_prose() -> None:
    # 100 words, 621 characters of plain English are about 130 tokens for the tokenizers of 2024 and 170 for later ones.
    prose = "The river had been high all week and the mill was loud enough to keep the children awake at night. " * 6

    assert 130 <= estimate(prose[:594]) <= 175
    assert estimate("") == 0 and estimate("a") == 1
