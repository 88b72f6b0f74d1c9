"""One version of one object, read by ranges in bounded memory. AWS: S3.

The version is pinned: an object that is overwritten while it is read stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import aws
from .drops.records import Unreadable
from .drops.sources import BLOCK_BYTES, blocks
from .errors import MillraceError, NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TRIES = 3
"""Of a body that breaks off: botocore tries requests again, not what comes after their headers."""


class Gone(NotFound):
    """The object, or this version of it, was deleted."""


class Pinned:
    """The last block that was read is kept: whoever looks at a file's head and then reads it asks S3 once."""

    def __init__(self, s3: S3Client, bucket: str, key: str, version: str) -> None:
        self._s3, self._key = s3, key
        self._where: dict[str, Any] = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
        self._start, self._block = 0, b""

    @cached_property
    def size(self) -> int:
        self._block, size = self._get(0, BLOCK_BYTES)
        return size

    def read(self, start: int, length: int) -> bytes:
        """Exactly so many bytes; Unreadable where they are not there."""
        if start < 0 or length < 0 or start + length > self.size:
            raise Unreadable("the file is shorter than it says")
        inside = start - self._start
        if not 0 <= inside <= inside + length <= len(self._block):
            self._start, self._block, inside = start, self._get(start, length)[0], 0
        return self._block[inside : inside + length]

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        yield from blocks(self, start)

    def _get(self, start: int, length: int) -> tuple[bytes, int]:
        """These bytes, and how many the object has."""
        broken: Unavailable | None = None
        for _ in range(_TRIES):
            answer = self._ask(start, length)
            if answer is None:
                return b"", 0
            try:
                body = self._body(answer)
                if "ContentRange" not in answer:  # the whole of it, as some of S3's kind answer for an empty object
                    return body[start : start + length], len(body)
                return body, int(answer["ContentRange"].rpartition("/")[2])
            except Unavailable as error:
                broken = error
        raise broken or AssertionError("there is one try at least")

    def _ask(self, start: int, length: int) -> Any:
        """S3's answer; None where nothing is there, which only an empty object says."""
        try:
            with aws.mapped(f"Reading {self._key}"):
                return self._s3.get_object(**self._where, Range=f"bytes={start}-{start + length - 1}")
        except NotFound as error:
            raise Gone(str(error)) from error
        except MillraceError as error:
            cause = error.__cause__
            if isinstance(cause, aws.refusals()) and aws.code_of(cause) == "InvalidRange":
                return None
            raise

    def _body(self, answer: Any) -> bytes:
        with aws.mapped(f"Reading {self._key}"):
            body: bytes = answer["Body"].read()
        if len(body) != answer["ContentLength"]:
            raise Unavailable(f"Reading {self._key} broke off after {len(body):,} bytes.")
        return body
