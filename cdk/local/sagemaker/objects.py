"""Folders to and from S3 prefixes."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from .errors import invalid


def split(uri: str) -> tuple[str, str]:
    """(bucket, key prefix) of s3://bucket/prefix."""
    parts = urlparse(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise invalid(f"Not an S3 URI: {uri!r}.")
    return parts.netloc, parts.path.lstrip("/")


def download(s3: Any, uri: str, folder: Path) -> int:
    """Every object under the prefix, as SageMaker lays them out; the number of objects."""
    bucket, prefix = split(uri)
    count = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            if found["Key"].endswith("/"):
                continue
            target = (folder / _below(prefix, found["Key"])).resolve()
            if folder.resolve() not in target.parents:
                raise invalid(f"{found['Key']!r} would leave its folder.")
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, found["Key"], str(target))
            count += 1
    return count


def _below(prefix: str, key: str) -> str:
    """Path of a key below `folder`, `folder/` or beside the object `folder/name`."""
    whole = prefix.rstrip("/") + "/"
    return key.removeprefix(whole) if key.startswith(whole) else key.removeprefix(prefix.rpartition("/")[0] + "/")


def upload(s3: Any, folder: Path, uri: str) -> None:
    """Every file of the folder; a manifest.json goes last, so that a prefix with one is whole."""
    bucket, prefix = split(uri)
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.name == "manifest.json", p))
    for path in files:
        s3.upload_file(str(path), bucket, f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}")


def upload_archive(s3: Any, folder: Path, uri: str) -> None:
    """The folder's content as model.tar.gz, as SageMaker stores it by default."""
    bucket, key = split(uri)
    archive = folder.with_name(folder.name + ".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=".")
    s3.upload_file(str(archive), bucket, key)
    archive.unlink()


class Mirror:
    """Copies a folder to a prefix again and again, only files that changed since."""

    def __init__(self, s3: Any, folder: Path, uri: str) -> None:
        self.s3 = s3
        self.folder = folder
        self.bucket, self.prefix = split(uri)
        self._seen: dict[Path, tuple[int, int]] = {path: stamp for path, stamp in self._stamps()}

    def push(self) -> None:
        for path, stamp in self._stamps():
            if self._seen.get(path) == stamp:
                continue
            key = f"{self.prefix.rstrip('/')}/{path.relative_to(self.folder).as_posix()}"
            try:
                self.s3.upload_file(str(path), self.bucket, key)
            except FileNotFoundError:  # the container rotates its checkpoints
                continue
            self._seen[path] = stamp

    def _stamps(self) -> list[tuple[Path, tuple[int, int]]]:
        found = []
        for path in sorted(self.folder.rglob("*")):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                found.append((path, (stat.st_mtime_ns, stat.st_size)))
        return found
