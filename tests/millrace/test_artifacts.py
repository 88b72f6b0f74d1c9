from __future__ import annotations

import hashlib
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ParamValidationError
from hypothesis import given
from hypothesis import strategies as st
from millrace import aws
from millrace.artifacts import PART_BYTES, READ_LIMIT_BYTES, Store, key_of
from millrace.errors import Corrupt, MillraceError, NotFound, Throttled, TooLarge, Unavailable

from tests.fakes import FAULTS, FakeS3, Faulty, Plan, client_error


@given(st.binary(max_size=200))
def test_what_is_put_is_what_is_got_and_its_hash_is_checked(body: bytes) -> None:
    store = Store(FakeS3(), "data")  # type: ignore[arg-type]
    digest = store.put("a/b", body)

    assert digest == hashlib.sha256(body).hexdigest()
    assert store.get("a/b", digest) == body and store.exists("a/b") and key_of(store.uri("a/b")) == "a/b"
    with pytest.raises(Corrupt):
        store.get("a/b", hashlib.sha256(body + b"x").hexdigest())


def test_what_is_missing_or_too_large_says_so() -> None:
    s3 = FakeS3()
    store = Store(s3, "data")  # type: ignore[arg-type]
    assert not store.exists("a")
    with pytest.raises(NotFound):
        store.get("a")
    store.put("a", b"x" * 11)
    with pytest.raises(TooLarge, match="a has 11 bytes; at most 10"):
        store.get("a", limit_bytes=10)
    assert READ_LIMIT_BYTES > 10


def test_the_lines_of_an_object_are_read_however_long_it_is() -> None:
    """C9: a training split is longer than what is read whole."""
    store, lines = Store(FakeS3(), "data"), [b"x" * 2**20] * 40 + [b"last"]  # type: ignore[arg-type]
    store.write("a", (line + b"\n" for line in lines))

    assert list(store.lines("a")) == lines and store.size("a") > READ_LIMIT_BYTES
    with pytest.raises(TooLarge):
        store.get("a")


def test_what_is_kept_for_some_days_bears_the_tag_that_removes_it() -> None:
    s3 = FakeS3()
    store = Store(s3, "data")  # type: ignore[arg-type]
    store.keeping(2).put("a", b"x")
    store.keeping(30).write("b", [b"x" * PART_BYTES, b"y"])
    store.put("c", b"x")

    assert s3.tags == {"a": "expires-after-days=2", "b": "expires-after-days=30", "c": ""}
    with pytest.raises(ValueError, match="no rule for 3 days"):
        store.keeping(3)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "twice"])
@pytest.mark.parametrize("deed", ["put", "get", "exists"])
def test_a_bucket_that_does_not_answer_is_unavailable(deed: str, fault: Any) -> None:
    s3 = FakeS3()
    s3.put_object(Bucket="data", Key="a", Body=b"x")
    store = Store(Faulty(s3, Plan({1: fault})), "data")  # type: ignore[arg-type]

    with pytest.raises(Throttled if fault == "throttle" else Unavailable):
        getattr(store, deed)(*(("a", b"x") if deed == "put" else ("a",)))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        *((client_error(code), Throttled) for code in ("ThrottlingException", "SlowDown", "TooManyRequestsException")),
        (client_error("Anything", 429), Throttled),
        *((client_error(code, 404), NotFound) for code in ("NoSuchKey", "404", "ResourceNotFoundException")),
        (client_error("InternalError", 500), Unavailable),
        (client_error("Slow", 503), Unavailable),
        (client_error("AccessDenied", 403), MillraceError),
        (EndpointConnectionError(endpoint_url="https://x"), Unavailable),
        (ParamValidationError(report="value: a user's text"), MillraceError),
    ],
)
def test_each_foreign_error_becomes_one_of_ours(error: Exception, wanted: type[MillraceError]) -> None:
    with pytest.raises(MillraceError) as told, aws.mapped("Looking"):
        raise error
    assert type(told.value) is wanted and told.value.__cause__ is error
    assert str(told.value).startswith("Looking") and "a user's text" not in str(told.value)
