"""The handlers on the embedded AWS, called with the events that AWS sends."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=128,
    invoked_function_arn="arn:aws:lambda:x",
    aws_request_id="r1",
    get_remaining_time_in_millis=lambda: 300_000,
)
ROLES = "clinician,editor,operator,reader"


def http_event(
    method: str,
    path: str,
    body: str | None = None,
    query: str = "",
    caller: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """API Gateway's payload 2.0, as it reaches the gateway behind the authorizer."""
    context: dict[str, Any] = {
        "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"},
        "stage": "$default",
        "requestId": "r1",
    }
    if caller is not None:
        context["authorizer"] = {"lambda": caller}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"content-type": "application/json", "host": "api.example.com", **(headers or {})},
        "requestContext": context,
        "body": body,
        "isBase64Encoded": False,
    }


@dataclass
class Reply:
    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Api:
    """One tenant's view of the gateway."""

    tenant: str | None = "acme"
    tier: str = "ENTERPRISE"
    roles: str = ROLES
    handler: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        from functions.gateway.handler import handler

        self.handler = handler

    def __call__(self, method: str, path: str, body: Any = None, query: str = "", **headers: str) -> Reply:
        caller = {"tenant": self.tenant, "tier": self.tier, "roles": self.roles} if self.tenant else None
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.handler(http_event(method, path, text, query, caller, named), CONTEXT)  # type: ignore[arg-type]
        told = reply["body"]
        if told and "json" in reply["headers"].get("content-type", ""):
            told = json.loads(told)
        return Reply(reply["statusCode"], told, reply["headers"])


@pytest.fixture
def api(embedded: dict[str, str]) -> Api:
    return Api()


@pytest.fixture
def put(embedded: dict[str, str]) -> Callable[[str, bytes], dict[str, Any]]:
    """Put an object and get the queue's event that S3's notice becomes."""
    from millrace import aws

    def put(key: str, body: bytes) -> dict[str, Any]:
        bucket = embedded["MILLRACE_DROP_BUCKET"]
        version = aws.s3().put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
        return {"Records": [record("m1", bucket, key, version)]}

    return put


@pytest.fixture
def logged(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[[], str]]:
    """Everything that is logged or printed while the test runs, ours as it is written, others' from DEBUG on."""
    from functions.observability import logger

    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logger.registered_formatter)
    inner = logger._logger
    # In place of the one that writes to the standard output of whichever test imported the logger.
    monkeypatch.setattr(inner, "handlers", [handler])
    with caplog.at_level(logging.INFO):
        yield lambda: written.getvalue() + caplog.text + "".join(capsys.readouterr())


def record(message: str, bucket: str, key: str, version: str) -> dict[str, Any]:
    """An SQS record around the event that S3 sends through EventBridge."""
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": {"key": key, "size": 1, "etag": "e", "version-id": version, "sequencer": "0"},
        "request-id": "r",
        "requester": "123456789012",
        "source-ip-address": "127.0.0.1",
        "reason": "PutObject",
    }
    notice = {
        "version": "0",
        "id": "e1",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": detail,
    }
    return {
        "messageId": message,
        "receiptHandle": "h",
        "body": json.dumps(notice),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:drops",
        "awsRegion": "us-east-1",
    }


def pairs(count: int) -> bytes:
    rows = (f"Moreover we utilize {n} servers in hall {n}.,We use {n} servers in hall {n}." for n in range(count))
    return "\n".join(["prompt,completion", *rows, ""]).encode()
