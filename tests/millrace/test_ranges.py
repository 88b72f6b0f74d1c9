from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import pytest
from millrace.drops import Drop, Refusal
from millrace.drops.records import Unreadable
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
    if len(body) > 7:
        assert pinned.read(3, 4) == body[3:7]


def test_a_part_is_what_the_object_has_there() -> None:
    s3 = FakeS3()
    s3.put_object(Bucket="bucket", Key="key", Body=bytes(range(256)) * 8)

    assert Pinned(s3, "bucket", "key", "").read(250, 12) == (bytes(range(256)) * 2)[250:262]


@pytest.mark.parametrize(("start", "length"), [(-1, 4), (98, 3), (101, 1), (5, -1)])
def test_bytes_that_are_not_there_are_refused(start: int, length: int) -> None:
    with pytest.raises(Unreadable):
        Pinned(WholeS3(b"x" * 100), "bucket", "key", "1").read(start, length)  # type: ignore[arg-type]


def test_a_zip_whose_header_would_begin_in_its_last_bytes_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", "prompt,completion\na,b\n")
    body = bytearray(out.getvalue())
    struct.pack_into("<I", body, body.index(b"PK\x01\x02") + 42, len(body) - 10)

    (told,) = Drop(Pinned(WholeS3(bytes(body)), "bucket", "key", "1"), {})  # type: ignore[arg-type]

    assert isinstance(told, Refusal) and told.file == "a.csv"
