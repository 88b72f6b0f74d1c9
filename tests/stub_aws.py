"""The fakes behind a socket, for processes that are killed and for costs that are measured: AWS's wire, nothing else.

DynamoDB, SQS and EventBridge as JSON, S3 as far as objects are put and read by ranges. Every request is counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.fakes import FakeDynamo, FakeEvents, FakeS3


@dataclass
class Stub:
    """`served` is told of every request before it is answered."""

    dynamo: Any = field(default_factory=FakeDynamo)
    s3: Any = field(default_factory=FakeS3)
    bus: Any = field(default_factory=FakeEvents)
    requests: Counter[str] = field(default_factory=Counter)
    reached: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    """Headers of the last call, in lower case."""

    @property
    def served(self) -> int:
        return sum(self.requests.values())

    def count(self, name: str) -> None:
        with self.reached:
            self.requests[name] += 1
            self.reached.notify_all()

    def environment(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        return {**keys, "AWS_ENDPOINT_URL": self.url}

    def call(self, target: str, body: dict[str, Any]) -> Any:
        service, _, operation = target.partition(".")
        if service == "AWSEvents":
            return self.bus.put_events(**body)
        if service == "AmazonSQS":
            return {"MessageId": "1", "MD5OfMessageBody": ""} if operation == "SendMessage" else {}
        body.pop("ReturnConsumedCapacity", None)
        return getattr(self.dynamo, xform_name(operation))(**body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        stub, target = self.server.stub, self.headers["X-Amz-Target"]
        body = orjson.loads(self._body() or b"{}")
        stub.seen = {name.lower(): value for name, value in self.headers.items()}
        stub.count(target.rpartition(".")[2])
        try:
            self._answer(200, orjson.dumps(stub.call(target, body)), "application/x-amz-json-1.0")
        except ClientError as error:
            told = {"__type": error.response["Error"]["Code"], "message": "told by the stub", **_more(error)}
            self._answer(400, orjson.dumps(told), "application/x-amz-json-1.0")

    def do_PUT(self) -> None:
        bucket, key, _ = self._place()
        self.server.stub.count("PutObject")
        told = self.server.stub.s3.put_object(Bucket=bucket, Key=key, Body=self._body())
        self._answer(200, b"", "text/plain", {"x-amz-version-id": told["VersionId"]})

    def do_GET(self) -> None:
        bucket, key, version = self._place()
        self.server.stub.count("GetObject")
        asked = {"Range": self.headers["Range"]} if "Range" in self.headers else {}
        try:
            told = self.server.stub.s3.get_object(Bucket=bucket, Key=key, VersionId=version, **asked)
        except ClientError as error:
            code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
            self._answer(status, f"<Error><Code>{code}</Code></Error>".encode(), "application/xml")
            return
        more = {"Content-Range": told["ContentRange"]} if asked else {}
        self._answer(206 if asked else 200, told["Body"].read(), "application/octet-stream", more)

    def do_HEAD(self) -> None:
        bucket, key, _ = self._place()
        self.server.stub.count("HeadObject")
        size = self.server.stub.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _place(self) -> tuple[str, str, str]:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        return bucket, key, parse_qs(parts.query).get("versionId", [""])[0]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stub: Stub

    def handle_error(self, *_: Any) -> None:
        return  # who asked was killed


def _more(error: ClientError) -> dict[str, Any]:
    return {name: value for name, value in error.response.items() if name in ("Item", "CancellationReasons")}


@contextmanager
def serving(stub: Stub | None = None) -> Iterator[Stub]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.stub = stub or Stub()
    server.stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.stub
    finally:
        server.shutdown()
        server.server_close()
