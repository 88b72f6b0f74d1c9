"""SageMaker's wire protocol over HTTP: JSON 1.1 for the control plane, plain bodies and event streams for the runtime.

Listens on an inner port of loopback; the engine forwards what is SageMaker's, so that AWS has one address.
"""

from __future__ import annotations

import json
import struct
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..aws import client
from ..settings import Twin
from . import container
from .endpoints import Endpoints
from .errors import AwsError
from .jobs import Jobs
from .store import Record

PASSED_ON = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes")


class SageMaker:
    """The service of one twin: its jobs, its endpoints and the operations by name."""

    def __init__(self, twin: Twin) -> None:
        container.kill_leftovers(twin)
        s3, logs = client(twin, "s3"), client(twin, "logs")
        self.jobs = Jobs(twin, s3, logs)
        self.endpoints = Endpoints(twin, s3, logs)
        jobs, ends = self.jobs, self.endpoints
        self.operations: dict[str, Callable[[Record], Record]] = {
            "CreateTrainingJob": jobs.create,
            "DescribeTrainingJob": jobs.describe,
            "StopTrainingJob": jobs.stop,
            "ListTrainingJobs": jobs.list,
            "TwinInterruptTrainingJob": jobs.interrupt,
            "CreateModel": ends.create_model,
            "DescribeModel": ends.describe_model,
            "DeleteModel": ends.delete_model,
            "CreateEndpointConfig": ends.create_config,
            "DescribeEndpointConfig": ends.describe_config,
            "DeleteEndpointConfig": ends.delete_config,
            "CreateEndpoint": ends.create,
            "UpdateEndpoint": ends.update,
            "DescribeEndpoint": ends.describe,
            "DeleteEndpoint": ends.delete,
            "ListEndpoints": ends.list,
        }

    def call(self, operation: str, request: Record) -> Record:
        if operation not in self.operations:
            raise AwsError("UnknownOperationException", f"The twin's SageMaker has no {operation}.")
        return self.operations[operation](request)

    def shut_down(self) -> None:
        self.jobs.shut_down()
        self.endpoints.shut_down()


class Server(ThreadingHTTPServer):
    """Serves one SageMaker in threads."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: SageMaker, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.service = service

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, daemon=True, name="sagemaker").start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.split("?", 1)[0].strip("/").split("/")
        try:
            if parts[0] == "endpoints":
                self._invoke(parts[1], parts[2], body)
            else:
                operation = self.headers.get("X-Amz-Target", "").removeprefix("SageMaker.")
                reply = self.server.service.call(operation, json.loads(body or b"{}"))
                self._send(200, json.dumps(reply).encode(), "application/x-amz-json-1.1")
        except AwsError as error:
            self._fail(error.code, str(error), error.status, error.more)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._fail("SerializationException", f"{type(error).__name__}: {error}", 400, {})

    def _invoke(self, name: str, kind: str, body: bytes) -> None:
        headers = {field: self.headers[field] for field in PASSED_ON if field in self.headers}
        with self.server.service.endpoints.invoke(name, headers, body) as (content_type, chunks):
            if kind == "invocations":
                shown = {"x-Amzn-Invoked-Production-Variant": "AllTraffic"}
                self._send(200, b"".join(chunks), content_type, shown)
            else:
                self._stream(chunks, content_type)

    def _stream(self, chunks: Iterator[bytes], content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.amazon.eventstream")
        self.send_header("X-Amzn-SageMaker-Content-Type", content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in payload_parts(chunks):
            self.wfile.write(chunk)
            self.wfile.flush()
        self.close_connection = True

    def _fail(self, code: str, message: str, status: int, more: dict[str, Any]) -> None:
        said = {"__type": code, "message": message, "Message": message, **more}
        self._send(status, json.dumps(said).encode(), "application/x-amz-json-1.1", {"x-amzn-ErrorType": code})

    def _send(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the engine's log has what matters."""


def payload_parts(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Each chunk as a PayloadPart message of `vnd.amazon.eventstream`."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name + b"\x07" + struct.pack("!H", len(value)) + value
        for name, value in (
            (b":message-type", b"event"),
            (b":event-type", b"PayloadPart"),
            (b":content-type", b"application/octet-stream"),
        )
    )
    for chunk in chunks:
        prelude = struct.pack("!II", 16 + len(headers) + len(chunk), len(headers))
        message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + chunk
        yield message + struct.pack("!I", zlib.crc32(message))
