"""What a fresh stack on a laptop is given: demo's key, this shell's provider keys, the catalogue, the base model."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from botocore.exceptions import ClientError
from millrace.access import Access, fresh_key
from millrace.contract import Tier
from millrace.seeds import seed
from millrace.table import Table
from millrace.tenants import Tenant

from .aws import client
from .settings import PROVIDER_KEYS, Twin

BASE = "millrace-tiny"


def sow(twin: Twin, outputs: dict[str, str]) -> str:
    """Puts the seeds of a stack that has the outputs for them; the demo tenant's key. Repeating it changes nothing."""
    if secret := outputs.get("ProviderSecret"):
        _provider_keys(client(twin, "secretsmanager"), secret)
    if bucket := outputs.get("DataBucket"):
        _base_model(twin, client(twin, "s3"), bucket)
    return _demo_key(twin, outputs.get("TableName"))


def _provider_keys(secrets: Any, secret: str) -> None:
    """Added to what the secret holds; a key that is not in this shell stays."""
    given = {name: os.environ[name] for name in PROVIDER_KEYS if os.environ.get(name)}
    held = json.loads(secrets.get_secret_value(SecretId=secret).get("SecretString") or "{}")
    if given.items() - held.items():
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(held | given))


def _base_model(twin: Twin, s3: Any, bucket: str) -> None:
    """Every file of the committed weights under base/<name>/, again only when it has changed."""
    folder = twin.containers / "tiny/weights"
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        key = f"base/{BASE}/{path.relative_to(folder).as_posix()}"
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if _stored(s3, bucket, key) != sha256:
            s3.upload_file(str(path), bucket, key, ExtraArgs={"Metadata": {"sha256": sha256}})


def _stored(s3: Any, bucket: str, key: str) -> str | None:
    """Hash of the object, as it was noted at its upload."""
    try:
        return str(s3.head_object(Bucket=bucket, Key=key)["Metadata"].get("sha256"))
    except ClientError:
        return None


def _demo_key(twin: Twin, table_name: str | None) -> str:
    """The same key as long as the twin's state lives."""
    kept = twin.state / "demo.key"
    if not kept.is_file():
        kept.touch(mode=0o600)
        kept.write_text(fresh_key())
    key = kept.read_text()
    if table_name:
        table = Table(client(twin, "dynamodb"), table_name)
        Access(table).grant(key, Tenant("demo", Tier.ENTERPRISE))
        seed(table)
    return key
