from __future__ import annotations

import io
from typing import Any

import pytest
from millrace.ranges import Pinned

from tests.fakes import FakeS3


class WholeS3:
    """Answers a range of an object with all of it, as some stores do where it is empty."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"ContentLength": len(self.body), "Body": io.BytesIO(self.body)}


@pytest.mark.parametrize("body", [b"", b"one line\n", b"x" * 5_000])
def test_a_store_that_gives_the_whole_for_a_part_is_read_alike(body: bytes) -> None:
    pinned = Pinned(WholeS3(body), "bucket", "key", "1")  # type: ignore[arg-type]

    assert pinned.size == len(body) and b"".join(pinned.chunks()) == body
    assert pinned.read(3, 4) == body[3:7]


def test_a_part_is_what_the_object_has_there() -> None:
    s3 = FakeS3()
    s3.put_object(Bucket="bucket", Key="key", Body=bytes(range(256)) * 8)

    assert Pinned(s3, "bucket", "key", "").read(250, 12) == (bytes(range(256)) * 2)[250:262]
