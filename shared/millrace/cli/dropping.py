"""Put files into the drop folder and wait for their reports. AWS: S3."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract import DROP_PREFIX, TENANT_PATTERN, DropState
from ..errors import InvalidInput, Unavailable
from .client import Client, Refused
from .where import Where

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POLL_S = 0.5
ENDED = (DropState.COLLECTED, DropState.REFUSED)


def upload(client: Client, path: Path, on_bytes: Callable[[int], None] = lambda done: None) -> str:
    """The drop's id, known before its event has even arrived. `on_bytes` is told how many more have been sent."""
    from .. import aws
    from ..intake import Dropped

    where = client.where
    if not path.is_file():
        raise InvalidInput(f"There is no file {path}.")
    if not where.tenant or not TENANT_PATTERN.match(where.tenant):
        raise InvalidInput("Whose drop folder is it? Name the tenant with --tenant or MILLRACE_TENANT.")
    bucket = client.get("system", "health")["drop_bucket"]
    key = f"{DROP_PREFIX}{where.tenant}/{path.name}"
    s3 = _s3(where)
    with aws.mapped(f"Dropping {path.name}"), path.open("rb") as file:
        s3.upload_fileobj(file, bucket, key, Callback=on_bytes)
        version = s3.head_object(Bucket=bucket, Key=key).get("VersionId", "")
    return Dropped(bucket, key, version).id


def wait(client: Client, drop_id: str, timeout_s: float) -> dict[str, Any]:
    """The drop once it is collected or refused. Unavailable after `timeout_s`; its report comes all the same."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        drop = _found(client, drop_id)
        if drop and drop["state"] in ENDED:
            return drop
        time.sleep(POLL_S)
    raise Unavailable(f"Drop {drop_id} has no report after {timeout_s:.0f} s; `millrace drops` will tell.")


def _found(client: Client, drop_id: str) -> dict[str, Any] | None:
    """None until its event has arrived."""
    try:
        drop: dict[str, Any] = client.get("drops", drop_id)
        return drop
    except Refused as refused:
        if refused.body.get("status") == 404:
            return None
        raise


def _s3(where: Where) -> S3Client:
    import boto3

    # The embedded AWS knows one access key; AWS itself takes whatever boto3 finds.
    twin = bool(where.aws_endpoint) and boto3.Session().get_credentials() is None
    given: dict[str, str] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} if twin else {}
    if where.aws_endpoint:
        given["endpoint_url"] = where.aws_endpoint
    if where.region:
        given["region_name"] = where.region
    client: S3Client = boto3.client("s3", **given)  # type: ignore[call-overload]
    return client
