"""The real gateway and authorizer on a loopback port, over moto, for the browser's and the command line's tests.

As on the twin, a request without a key is the demo tenant's. Requests become API Gateway v2 events, replies come back.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
from millrace.access import Access, fresh_key
from millrace.contract import Tier
from millrace.tenants import Tenant
from moto import mock_aws
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from tests.emulated import lock_moto

ENV = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "MILLRACE_STAGE": "test",
    "MILLRACE_TABLE": "millrace-test",
    "MILLRACE_DATA_BUCKET": "millrace-test-data",
    "MILLRACE_DROP_BUCKET": "millrace-test-drops",
    "MILLRACE_TRAIN_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:train",
    "MILLRACE_UNPACK_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:unpack",
    "MILLRACE_PROVIDER_SECRET": "millrace-test-keys",
    "MILLRACE_REWRITE_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/millrace-test-rewrites",
    "MILLRACE_CURSOR_SECRET": "millrace-test-cursors",
    "MILLRACE_INSTANCE_TYPE": "ml.local",
}
PUBLIC = ("/", "/openapi.json", "/docs", "/api/system/health")
DEMO = Tenant("demo", Tier.ENTERPRISE)


@dataclass
class Served:
    """The API as it stands on its port, and the domain behind it."""

    url: str
    tenant: Tenant
    requests: list[tuple[str, str, dict[str, Any] | None]] = field(default_factory=list)
    """Method, path and JSON body of every request, in order."""
    works: bool = True
    """Whether rewrites that nobody waits for are worked on, once somebody looks for them."""
    broken: set[str] = field(default_factory=set)
    """Paths that answer 503 as API Gateway does when nothing is behind it."""

    @cached_property
    def settings(self) -> Any:
        from functions.gateway.shapes import settings

        return settings

    @property
    def corpus(self) -> Any:
        from functions import parts

        return parts.corpus(self.settings)

    @property
    def jobs(self) -> Any:
        from functions import parts

        return parts.jobs(self.settings)

    @property
    def registry(self) -> Any:
        from functions import parts

        return parts.registry(self.settings)

    def drop(self, name: str, content: bytes) -> Any:
        """Put a file into the drop folder and collect it, as the event would."""
        key = f"drop/{self.tenant.id}/{name}"
        version = boto3.client("s3").put_object(Bucket=self.settings.drop_bucket, Key=key, Body=content)["VersionId"]
        return self.collect(key, version)

    def collect(self, key: str, version: str) -> Any:
        from millrace.intake import Dropped

        from functions import parts

        return parts.intake(self.settings).collect(self.tenant, Dropped(self.settings.drop_bucket, key, version))


@contextmanager
def served() -> Iterator[Served]:
    """Fresh storage and the gateway on a free port; gone afterwards."""
    before = {name: os.environ.get(name) for name in ENV}
    os.environ.update({name: value for name, value in ENV.items() if name.startswith("AWS") or before[name] is None})
    lock_moto()
    with mock_aws(), patch.object(SageMakerResponse, "stop_training_job", _no_such_job, create=True):
        server = _Server()
        server.served = Served(f"http://127.0.0.1:{server.server_address[1]}", DEMO)
        server.demo_key = _stand_up(server.served.settings)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server.served
        finally:
            server.shutdown()
            server.worker.shutdown()
            server.server_close()
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _no_such_job(response: Any) -> None:
    """moto lacks StopTrainingJob; this is what SageMaker says where no container runs."""
    raise ValidationError("Requested resource not found.")


def _stand_up(settings: Any) -> str:
    from functions import parts

    keys = (("pk", "HASH"), ("sk", "RANGE"))
    boto3.client("dynamodb").create_table(
        TableName=settings.table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk", "list_pk", "list_sk")],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_time",
                "KeySchema": [{"AttributeName": f"list_{name}", "KeyType": kind} for name, kind in keys],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    boto3.client("sqs").create_queue(QueueName=settings.rewrite_queue.rsplit("/", 1)[1])
    s3 = boto3.client("s3")
    for bucket in (settings.data_bucket, settings.drop_bucket):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    boto3.client("secretsmanager").create_secret(Name=settings.cursor_secret, SecretString="signs")
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}
    for machine in (settings.train_machine, settings.unpack_machine):
        boto3.client("stepfunctions").create_state_machine(
            name=machine.rsplit(":", 1)[1],
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::123456789012:role/train",
        )
    key = fresh_key()
    Access(parts.table(settings)).grant(key, DEMO)
    return key


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    served: Served
    demo_key: str

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.worker = ThreadPoolExecutor(1, initializer=lambda: asyncio.set_event_loop(asyncio.new_event_loop()))
        """One thread: a function's process answers one request at a time, and moto loses updates under threads."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        told = json.loads(body) if body and not self._binary() else None
        self.server.served.requests.append((self.command, path, told))
        if path in self.server.served.broken:
            return self._say(503, {"content-type": "application/json"}, b'{"message": "Service Unavailable"}')
        reply = self.server.worker.submit(self._invoke, path, body).result()
        raw = reply.get("body") or ""
        content = base64.b64decode(raw) if reply.get("isBase64Encoded") else raw.encode()
        self._say(reply["statusCode"], reply.get("headers", {}), content)

    def _deliver(self) -> None:
        """The queue of rewrites brings what waits to its function."""
        from functions.gateway.shapes import settings
        from functions.rewrite.handler import handler

        url = settings.rewrite_queue
        for message in boto3.client("sqs").receive_message(QueueUrl=url).get("Messages", []):
            boto3.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            record = {"messageId": message["MessageId"], "receiptHandle": "h", "body": message["Body"]}
            record |= {"attributes": {"ApproximateReceiveCount": "1"}, "eventSource": "aws:sqs"}
            handler({"Records": [record]}, None)

    def _binary(self) -> bool:
        """What API Gateway hands on as base64."""
        return self.headers.get("Content-Type", "").startswith("multipart/")

    def _invoke(self, path: str, body: bytes) -> dict[str, Any]:
        from functions.authorize.handler import handler as authorize
        from functions.gateway.handler import handler

        if self.server.served.works and path.startswith("/api/humanize/jobs/"):
            self._deliver()
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "authorization" not in headers:
            headers.setdefault("x-api-key", self.server.demo_key)
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": urlsplit(self.path).query,
            "headers": headers,
            "requestContext": {
                "http": {"method": self.command, "path": path, "sourceIp": "127.0.0.1", "protocol": "HTTP/1.1"}
            },
            "isBase64Encoded": self._binary(),
            "body": (base64.b64encode(body) if self._binary() else body).decode() or None,
        }
        if path not in PUBLIC and not path.startswith("/console/"):
            known = authorize(event, None)
            if not known["isAuthorized"]:
                return {"statusCode": 403, "headers": {"content-type": "application/json"}, "body": _FORBIDDEN}
            event["requestContext"]["authorizer"] = {"lambda": known["context"]}
        reply: dict[str, Any] = handler(event, None)  # type: ignore[arg-type]
        return reply

    def _say(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


_FORBIDDEN = '{"message": "Forbidden"}'
