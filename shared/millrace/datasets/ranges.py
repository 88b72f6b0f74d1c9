"""One version of one object, read by ranges and never whole. AWS: S3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import aws
from .directory import Member

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RUN_BYTES = 8 * 2**20
"""Of one request that fetches neighbours: 0.1 s of a function's bandwidth, and two of them are a worker's memory."""
GAP_BYTES = 64 * 2**10
"""Bytes between two members that cost less to fetch than a request does."""
SLACK_BYTES = 1024
"""What a local header's extra field may have more than nothing; a longer one costs a request of its own."""


@dataclass
class Ranges:
    """Callable as `directory.Read`. `requests` and `fetched_bytes` count what it cost."""

    s3: S3Client
    bucket: str
    key: str
    version: str
    requests: int = field(default=0, init=False)
    fetched_bytes: int = field(default=0, init=False)

    def __call__(self, offset: int, length: int) -> bytes:
        """NotFound where the object is gone; fewer bytes only at its end."""
        if length <= 0:
            return b""
        pinned = {"VersionId": self.version} if self.version else {}
        with aws.mapped(f"Reading {self.key}"):
            answer = self.s3.get_object(
                Bucket=self.bucket,
                Key=self.key,
                Range=f"bytes={offset}-{offset + length - 1}",
                **pinned,  # type: ignore[arg-type]
            )
            body = answer["Body"].read()
        self.requests += 1
        self.fetched_bytes += len(body)
        return body


@dataclass(frozen=True)
class Run:
    """Neighbouring members, fetched at once."""

    start: int
    end: int
    members: Sequence[Member]


def runs(members: Sequence[Member], limit: int) -> Iterator[Run]:
    """Members in the order of their headers, so that few requests fetch them. `limit`: where all must have ended."""
    gathered: list[Member] = []
    end = 0
    for member in sorted(members, key=lambda member: member.header):
        reach = min(member.least_end + SLACK_BYTES, limit)
        if gathered and (member.header - end > GAP_BYTES or reach - gathered[0].header > RUN_BYTES):
            yield Run(gathered[0].header, end, tuple(gathered))
            gathered = []
        gathered.append(member)
        end = max(reach, end) if len(gathered) > 1 else reach
    if gathered:
        yield Run(gathered[0].header, end, tuple(gathered))
