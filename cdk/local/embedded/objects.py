"""Reading a part of one version of an object: ministack gives the whole of it where a version is named."""

from __future__ import annotations

from typing import Any

Answer = tuple[int, dict[str, Any], Any]


def install() -> None:
    from ministack.services import s3

    whole = s3._get_object

    def get_object(bucket: str, key: str, headers: dict[str, Any], query: dict[str, Any] | None = None) -> Answer:
        answer: Answer = whole(bucket, key, headers, query)
        wanted = headers.get("range", "")
        if answer[0] != 200 or not wanted:
            return answer
        place = s3._parse_range(wanted, len(answer[2]))
        return answer if place is None else part(answer, *place)

    s3._get_object = get_object


def part(answer: Answer, first: int, last: int) -> Answer:
    """The answer to a request for bytes `first` to `last`, both included, from the answer with all of them.

    A checksum is of the whole object, so a part is told without.
    """
    _, headers, body = answer
    headers = {name: value for name, value in headers.items() if not name.lower().startswith("x-amz-checksum-")}
    piece = body[first : last + 1]
    told = {"Content-Length": str(len(piece)), "Content-Range": f"bytes {first}-{last}/{len(body)}"}
    return 206, {**headers, **told}, piece
