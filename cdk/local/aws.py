"""boto3 clients of the embedded AWS: one endpoint, no network beyond loopback, no keys of this machine."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from .settings import Twin


def client(twin: Twin, service: str) -> Any:
    """A client whose every call goes to the twin, whatever the shell's AWS settings say."""
    session: Any = boto3.session.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the embedded AWS's fixed key
        region_name=twin.region,
    )
    return session.client(
        service,
        endpoint_url=twin.aws_endpoint,
        config=Config(
            retries={"total_max_attempts": 3, "mode": "standard"},
            connect_timeout=5,
            read_timeout=90,
            s3={"addressing_style": "path"},
            proxies={},
        ),
    )
