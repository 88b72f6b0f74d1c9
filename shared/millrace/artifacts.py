"""Bytes with hashes: the data bucket's objects. AWS: S3.

SHA-256 is sent with every write (S3 checks it) and checked on every read of a content-addressed object.
What is written to be kept for so many days bears a tag, by which a rule of the bucket removes it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from . import aws
from .contract import MODEL_FORMATS
from .errors import Corrupt, NotFound, TooLarge

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from .container import Manifest

READ_LIMIT_BYTES = 32 * 1024 * 1024
"""What a function reads whole into memory at most."""


PART_BYTES = 8 * 1024 * 1024
EXPIRES = "expires-after-days"
"""Tag of an object that the bucket removes."""
KEPT_DAYS = (2, 30)
"""Its values: of replies to repeat; of what somebody asked for and fetches."""
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Written:
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Store:
    """One bucket."""

    client: S3Client
    bucket: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """Arguments of every write."""

    def keeping(self, days: int) -> Store:
        """The same, for what goes after so many days, which are one of KEPT_DAYS."""
        if days not in KEPT_DAYS:
            raise ValueError(f"The bucket has no rule for {days} days.")
        return replace(self, tags={"Tagging": f"{EXPIRES}={days}"})

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        """Write one object; its SHA-256 in hex."""
        digest = hashlib.sha256(body)
        tags: Any = self.tags
        with aws.mapped(f"Writing {key}"):
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                **tags,
            )
        return digest.hexdigest()

    def write(self, key: str, chunks: Iterable[bytes], content_type: str = "application/octet-stream") -> Written:
        """Write one object of any length as its bytes come, PART_BYTES of it in memory."""
        digest, held, upload, size = hashlib.sha256(), bytearray(), None, 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            held += chunk
            if len(held) >= PART_BYTES:
                upload = upload or _Upload(self, key, content_type)
                upload.add(bytes(held))
                held = bytearray()
        if upload is None:
            return Written(self.put(key, bytes(held), content_type), size)
        upload.end(bytes(held))
        return Written(digest.hexdigest(), size)

    def lines(self, key: str) -> Iterator[bytes]:
        """Of one object of any length, one after another."""
        with aws.mapped(f"Reading {key}"):
            yield from self.client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_lines(_CHUNK)

    def part(self, key: str, first: int, end: int) -> bytes:
        """Bytes `first` to before `end` of one object."""
        with aws.mapped(f"Reading {key}"):
            return self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={first}-{end - 1}")["Body"].read()

    def delete(self, key: str) -> None:
        """What is not there is deleted already. Earlier versions go by the bucket's rule."""
        with aws.mapped(f"Deleting {key}"):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def put_json(self, key: str, value: Any) -> str:
        return self.put(key, orjson.dumps(value, option=orjson.OPT_INDENT_2), "application/json")

    def get(self, key: str, sha256: str | None = None, limit_bytes: int = READ_LIMIT_BYTES) -> bytes:
        """Read one object whole. NotFound, TooLarge, or Corrupt where the hash differs."""
        with aws.mapped(f"Reading {key}"):
            answer = self.client.get_object(Bucket=self.bucket, Key=key)
            if answer["ContentLength"] > limit_bytes:
                raise TooLarge(f"{key} has {answer['ContentLength']} bytes; at most {limit_bytes} are read at once.")
            body = answer["Body"].read()
        if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
            raise Corrupt(f"{key} does not have the SHA-256 {sha256[:12]} that it was written with.")
        return body

    def head(self, key: str, count: int) -> bytes:
        """The first bytes of one object, at most so many."""
        with aws.mapped(f"Reading {key}"):
            return self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes=0-{count - 1}")["Body"].read()

    def get_json(self, key: str) -> Any:
        return orjson.loads(self.get(key))

    def size(self, key: str) -> int:
        """Bytes of one object; NotFound where it is not there."""
        with aws.mapped(f"Looking for {key}"):
            return int(self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])

    def keys(self, prefix: str) -> list[tuple[str, int]]:
        """Every key below a prefix, up to a thousand, and when it was written (Unix seconds)."""
        with aws.mapped(f"Listing {prefix}"):
            page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [(found["Key"], int(found["LastModified"].timestamp())) for found in page.get("Contents", [])]

    def exists(self, key: str) -> bool:
        try:
            with aws.mapped(f"Looking for {key}"):
                self.client.head_object(Bucket=self.bucket, Key=key)
        except NotFound:
            return False
        return True

    def link(self, key: str, valid_s: int) -> str:
        """An address that shows the object to whoever has it, for a while."""
        where = {"Bucket": self.bucket, "Key": key}
        return self.client.generate_presigned_url(ClientMethod="get_object", Params=where, ExpiresIn=valid_s)

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


class _Upload:
    """A multipart upload; S3 throws away what is not ended, by the bucket's rule."""

    def __init__(self, store: Store, key: str, content_type: str) -> None:
        self._store, self._key = store, key
        self._etags: list[str] = []
        with aws.mapped(f"Writing {key}"):
            what: Any = {"Key": key, "ContentType": content_type, **store.tags}
            begun = store.client.create_multipart_upload(Bucket=store.bucket, **what)
        self._id = begun["UploadId"]

    def add(self, body: bytes) -> None:
        number = len(self._etags) + 1
        with aws.mapped(f"Writing part {number} of {self._key}"):
            where: Any = {"Bucket": self._store.bucket, "Key": self._key, "UploadId": self._id}
            answer = self._store.client.upload_part(**where, PartNumber=number, Body=body)
        self._etags.append(answer["ETag"])

    def end(self, body: bytes) -> None:
        if body:
            self.add(body)
        parts: Any = {"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(self._etags, 1)]}
        with aws.mapped(f"Writing {self._key}"):
            where: Any = {"Bucket": self._store.bucket, "Key": self._key, "UploadId": self._id}
            self._store.client.complete_multipart_upload(**where, MultipartUpload=parts)


def key_of(uri: str) -> str:
    """The key in s3://bucket/key."""
    return uri.removeprefix("s3://").split("/", 1)[1]


HASHED_BYTES = 8 * 1024 * 1024
"""Files up to this are hashed when a manifest is checked; bigger ones are hashed by the container that reads them."""


def verify(store: Store, folder: str, manifest: Manifest, whose: str) -> None:
    """Hold a manifest against what lies beside it. Corrupt, with the file's name, where it tells otherwise."""
    if manifest.format not in MODEL_FORMATS:
        raise Corrupt(f"{whose} names the format {manifest.format!r}, which there is not.")
    for file in manifest.files:
        if file.path.startswith("/") or ".." in file.path.split("/"):
            raise Corrupt(f"{whose} lists {file.path!r}, which lies outside its folder.")
        try:
            size = store.size(folder + file.path)
        except NotFound as error:
            raise Corrupt(f"{whose} lists {file.path}, which is not there.") from error
        if size != file.size_bytes:
            raise Corrupt(f"{whose} says that {file.path} has {file.size_bytes:,} bytes; it has {size:,}.")
        if size <= HASHED_BYTES and hashlib.sha256(store.get(folder + file.path)).hexdigest() != file.sha256:
            raise Corrupt(f"{whose} gives {file.path} a SHA-256 that it has not.")
