"""Archives on their way into S3: multipart uploads that can be gone on with, and objects removed with every version.

AWS: S3. The client sends its parts to S3 by presigned addresses; nothing of an archive passes a function of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .. import aws
from ..clock import stamp
from ..errors import Conflict, InvalidInput, NotFound, TooLarge
from .dataset import part_bytes, part_length

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ADDRESS_S = 3600
"""How long a presigned address holds; another is there for the asking."""
FORGOTTEN = timedelta(days=2)
"""The bucket's own rule removes unfinished parts after as long."""
SMALL_BYTES = 4 * 2**20
"""What may be posted directly: a function is handed at most 6 MB, and bytes grow by a third on their way to it."""
COPY_BYTES = 128 * 2**20
COPIES = 16
"""Parts that S3 copies at once: 100 GB are 800 parts."""
MAX_ADDRESSES = 100
_TYPE = "application/zip"


@dataclass(frozen=True)
class Uploads:
    s3: S3Client
    signer: S3Client
    """The same S3, asked for nothing but signed addresses."""
    bucket: str

    def begin(self, key: str, size_bytes: int, fingerprint: str | None) -> dict[str, Any]:
        each = part_bytes(size_bytes)
        with aws.mapped("Beginning an upload"):
            answer = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key, ContentType=_TYPE)
        return {
            "upload_id": answer["UploadId"],
            "size_bytes": size_bytes,
            "part_bytes": each,
            "parts": -(-size_bytes // each),
            "fingerprint": fingerprint,
            "begun_at": stamp(),
        }

    def present(self, key: str, upload: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        """Parts that S3 holds whole, by number. NotFound where it no longer knows the upload."""
        found = {}
        for part in self._listed(key, upload):
            length = part_length(part["PartNumber"], upload["size_bytes"], upload["part_bytes"])
            if part["PartNumber"] <= upload["parts"] and part["Size"] == length:
                found[int(part["PartNumber"])] = part
        return found

    def _listed(self, key: str, upload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        marker = 0
        while True:
            with aws.mapped("Listing the parts of an upload"):
                answer: Any = self.s3.list_parts(
                    Bucket=self.bucket, Key=key, UploadId=upload["upload_id"], PartNumberMarker=marker
                )
            yield from answer.get("Parts", [])
            if not answer.get("IsTruncated"):
                return
            marker = int(answer["NextPartNumberMarker"])

    def addresses(self, key: str, upload: Mapping[str, Any], numbers: Sequence[int]) -> dict[int, str]:
        """Where each part is to be PUT."""
        if not 0 < len(numbers) <= MAX_ADDRESSES or not all(0 < n <= upload["parts"] for n in numbers):
            raise InvalidInput(f"Ask for 1 to {MAX_ADDRESSES} parts, numbered 1 to {upload['parts']}.")
        named = {"Bucket": self.bucket, "Key": key, "UploadId": upload["upload_id"]}
        return {n: self._signed("upload_part", {**named, "PartNumber": n}) for n in numbers}

    def link(self, key: str) -> str:
        """Where an object can be had, for an hour."""
        return self._signed("get_object", {"Bucket": self.bucket, "Key": key})

    def _signed(self, method: str, given: Mapping[str, Any]) -> str:
        return str(self.signer.generate_presigned_url(method, Params=given, ExpiresIn=ADDRESS_S))

    def complete(self, key: str, upload: Mapping[str, Any]) -> str:
        """The new object's version. Conflict where parts are missing."""
        try:
            found = self.present(key, upload)
        except NotFound:
            if (there := self.look(key)) is not None and there[1] == upload["size_bytes"]:
                return there[0]  # it was completed, and its reply was lost
            raise
        if len(found) != upload["parts"]:
            missing = [n for n in range(1, upload["parts"] + 1) if n not in found]
            shown = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
            raise Conflict(f"{len(missing)} of {upload['parts']} parts are missing: {shown}.")
        parts = [{"PartNumber": n, "ETag": found[n]["ETag"]} for n in sorted(found)]
        with aws.mapped("Completing an upload"):
            answer: Any = self.s3.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload["upload_id"],
                MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
            )
        return str(answer.get("VersionId") or "")

    def abort(self, key: str, upload: Mapping[str, Any]) -> None:
        """What is not there is aborted already."""
        try:
            with aws.mapped("Aborting an upload"):
                self.s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload["upload_id"])
        except NotFound:
            return

    def abort_all(self, key: str, begun_before: datetime | None = None) -> int:
        """Every upload to this key, also one that no dataset knows of; how many."""
        with aws.mapped("Listing uploads"):
            answer: Any = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=key)
        found = [
            each
            for each in answer.get("Uploads", [])
            if each["Key"] == key and (begun_before is None or each["Initiated"] < begun_before)
        ]
        for each in found:
            self.abort(key, {"upload_id": each["UploadId"]})
        return len(found)

    def put(self, key: str, body: bytes) -> str:
        if not 0 < len(body) <= SMALL_BYTES:
            raise TooLarge(
                f"An archive of {len(body):,} bytes; up to {SMALL_BYTES:,} may be posted, the rest in parts."
            )
        with aws.mapped("Writing an archive"):
            answer: Any = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=_TYPE)
        return str(answer.get("VersionId") or "")

    def copy(self, key: str, source: Mapping[str, str], size_bytes: int, alive: Callable[[], None]) -> str:
        """S3 copies it by itself, in parts where it is large; `alive` is called with every part."""
        upload = self.begin(key, size_bytes, None)
        named = {"Bucket": self.bucket, "Key": key, "UploadId": upload["upload_id"]}

        def part(number: int) -> Any:
            start = (number - 1) * COPY_BYTES
            last = min(start + COPY_BYTES, size_bytes) - 1
            answer: Any = self.s3.upload_part_copy(
                **named,
                PartNumber=number,
                CopySource=dict(source),  # type: ignore[arg-type]
                CopySourceRange=f"bytes={start}-{last}",
            )
            return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

        with aws.mapped("Copying an archive"), ThreadPoolExecutor(COPIES) as pool:
            parts: list[Any] = []
            for copied in pool.map(part, range(1, -(-size_bytes // COPY_BYTES) + 1)):
                parts.append(copied)
                alive()
            done: Any = self.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        return str(done.get("VersionId") or "")

    def look(self, key: str) -> tuple[str, int] | None:
        """Version and size of the object, if there is one."""
        try:
            with aws.mapped("Looking for an archive"):
                answer: Any = self.s3.head_object(Bucket=self.bucket, Key=key)
        except NotFound:
            return None
        return str(answer.get("VersionId") or ""), int(answer["ContentLength"])

    def stands(self, key: str, upload: Mapping[str, Any]) -> bool:
        try:
            self.present(key, upload)
        except NotFound:
            return False
        return True

    @staticmethod
    def forgotten(upload: Mapping[str, Any], now: str) -> bool:
        return datetime.fromisoformat(now) - datetime.fromisoformat(upload["begun_at"]) > FORGOTTEN


def purge(s3: S3Client, bucket: str, prefix: str) -> int:
    """Remove every version of every object below a prefix; how many."""
    gone = 0
    while True:
        with aws.mapped("Listing what is to be deleted"):
            listed: Any = s3.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=1000)
        found = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
        if not found:
            return gone
        doomed = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        with aws.mapped("Deleting objects"):
            answer: Any = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})  # type: ignore
        if answer.get("Errors"):
            raise Conflict(f"{len(answer['Errors'])} objects below {prefix} could not be deleted.")
        gone += len(doomed)
