from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.catalogue import Entry
from millrace.errors import Declined, MillraceError, ProviderRefused, Throttled, Unavailable
from millrace.providers import border

ENTRY = Entry("gpt-6-luna", "openai")


@pytest.mark.parametrize(
    ("status", "codes", "expected"),
    [
        (401, set(), ProviderRefused),
        (403, set(), ProviderRefused),
        (404, {"model_not_found"}, ProviderRefused),
        (402, set(), ProviderRefused),
        (429, {"insufficient_quota"}, ProviderRefused),
        (400, {"API_KEY_INVALID", "INVALID_ARGUMENT"}, ProviderRefused),
        (429, set(), Throttled),
        (429, {"RESOURCE_EXHAUSTED"}, Throttled),
        (529, {"overloaded_error"}, Throttled),
        (400, {"content_filter"}, Declined),
        (400, {"context_length_exceeded"}, Declined),
        (413, set(), Declined),
        (422, set(), Declined),
        (500, set(), Unavailable),
        (502, set(), Unavailable),
        (503, set(), Unavailable),
        (307, set(), Unavailable),
        (0, {"internal_error"}, Unavailable),
        (0, {"rate_limit_exceeded"}, Throttled),
    ],
)
def test_what_a_provider_says_becomes_what_a_caller_does(
    status: int, codes: set[str], expected: type[MillraceError]
) -> None:
    assert type(border.of_status(ENTRY, status, codes)) is expected


def test_the_wait_is_read_in_every_way_that_it_is_told() -> None:
    info = {"error": {"details": [{"@type": "RetryInfo", "retryDelay": "12.5s"}]}}

    assert border.retry_after_s("1500", "9") == 1.5
    assert border.retry_after_s(None, "9") == 9.0
    date = formatdate(time.time() + 60, usegmt=True)
    assert 57 <= (border.retry_after_s(None, date) or 0) <= 61
    assert border.retry_after_s(None, None, info) == 12.5
    assert border.retry_after_s(None, "999999999") == border.MAX_RETRY_AFTER_S
    for nonsense in ("soon", "-5", "nan", "inf", "", "Mon, 99 Foo"):
        told = border.retry_after_s(None, nonsense)
        assert told is None or told == 0.0


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=60)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.sampled_from(["code", "type", "status", "error", "details"]), inner),
        ),
        max_leaves=20,
    )
)
def test_codes_are_words_whatever_the_body_is(body: object) -> None:
    for code in border.codes_in(body):
        assert len(code) <= 48 and not any(c.isdigit() or c.isspace() for c in code)


def test_a_foreign_error_is_not_chained() -> None:
    def work() -> None:
        raise ValueError("the key is sk-canary")

    with pytest.raises(Unavailable) as raised:
        border.call(ENTRY, 5, work)
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    assert "sk-canary" not in str(raised.value)
