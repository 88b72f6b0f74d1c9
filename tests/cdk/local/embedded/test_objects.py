"""A part of an object's version, as S3 answers for it."""

from __future__ import annotations

from cdk.local.embedded.objects import part


def test_a_part_has_its_own_length_and_says_of_how_much() -> None:
    whole = (200, {"Content-Length": "6", "x-amz-version-id": "v", "x-amz-checksum-crc32": "c"}, b"abcdef")

    status, headers, body = part(whole, 2, 4)

    assert (status, body) == (206, b"cde")
    assert headers == {"Content-Length": "3", "Content-Range": "bytes 2-4/6", "x-amz-version-id": "v"}
