"""A DynamoDB client whose batches cost a fraction of the CPU: its bytes are written here. AWS: DynamoDB.

For each request boto3 checks and walks every value of every item by its model of the API, about 100 us an item; for a
batch of items that are typed already orjson does it in 1. Its connections take 0.7 ms of CPU a request and, as they
send head and body apart, may wait 40 ms for an acknowledgement; those here take 0.05 and none. The credentials
and every other call are boto3's. No proxies.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import orjson
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError, HTTPClientError
from botocore.httpsession import get_cert_path

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TRIES = 3
_CONNECT_S, _READ_S = 2.0, 10.0
_HEAD_BYTES, _REPLY_BYTES = 64 * 1024, 32 * 1024 * 1024
_AGAIN = {
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "TransactionInProgressException",
}


class Lean:
    """Stands before a client, and answers as it would."""

    def __init__(
        self, client: DynamoDBClient, session: boto3.Session, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._pause = client, pause
        credentials = session.get_credentials()
        if credentials is None:
            raise ValueError("There are no credentials for AWS.")  # as boto3 says at its first call
        self._credentials = credentials
        self._wire, self._host = _Wire(client.meta.endpoint_url), urlsplit(client.meta.endpoint_url).netloc

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
        return self._call("BatchExecuteStatement", orjson.dumps({"Statements": Statements}))

    def _call(self, operation: str, body: bytes) -> Any:
        """Tries again as boto3's standard mode does: connections, 5xx and throttles, three tries, full jitter."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._send(operation, body)
            except HTTPClientError:
                if not tries_left:
                    raise
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if not tries_left or (status < 500 and error.response["Error"]["Code"] not in _AGAIN):
                    raise
            self._pause(random.uniform(0, 2.0 ** (_TRIES - 1 - tries_left)))  # noqa: S311 - jitter, not a secret
        raise AssertionError("the last try raises or returns")

    def _send(self, operation: str, body: bytes) -> Any:
        meta = self._client.meta
        target = f"DynamoDB_20120810.{operation}"
        headers = signed(self._credentials.get_frozen_credentials(), meta.region_name, self._host, target, body)
        # Who listens to boto3's requests, an emulator for one, may answer in the wire's place.
        request = AWSPreparedRequest("POST", meta.endpoint_url + "/", headers, body, False)  # type: ignore[arg-type]
        heard = meta.events.emit(f"before-send.dynamodb.{operation}", request=request)
        other = next((reply for _, reply in heard if reply is not None), None)
        status, content = (other.status_code, other.content) if other else self._wire.post(body, headers)
        if status == 200:
            return orjson.loads(content)
        raise _refused(operation, status, content)


def signed(credentials: Any, region: str, host: str, target: str, body: bytes) -> dict[str, str]:
    """The headers of one request, with AWS's signature, version 4, over all of them and the body."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"content-type": "application/x-amz-json-1.0", "host": host, "x-amz-date": now}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    headers["x-amz-target"] = target
    names = ";".join(headers)  # in the order of the alphabet, as they must be
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{now[:8]}/{region}/dynamodb/aws4_request"
    told = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(_key(credentials.secret_key, now[:8], region), told.encode(), "sha256").hex()
    by = f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}"
    return {
        **headers,
        "Authorization": f"{by}, SignedHeaders={names}, Signature={signature}",
        "Content-Length": str(len(body)),
    }


@lru_cache(4)
def _key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "dynamodb", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class _Wire:
    """Kept connections to one place, in as much HTTP as DynamoDB speaks; each is used by one thread at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        bundle = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True)
        self._tls = ssl.create_default_context(cafile=bundle) if parts.scheme == "https" else None
        self._idle: list[socket.socket] = []

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """On a kept connection, or, where the other side has closed it meanwhile, at once on a new one."""
        kept = self._idle.pop() if self._idle else None
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        message = f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body
        try:
            try:
                return self._ask(kept or self._open(), message)
            except ConnectionError:
                if kept is None:
                    raise
                return self._ask(self._open(), message)
        except OSError as error:
            raise HTTPClientError(error=error) from error

    def _open(self) -> socket.socket:
        made = socket.create_connection(self._place, timeout=_CONNECT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(_READ_S)
        return self._tls.wrap_socket(made, server_hostname=self._place[0]) if self._tls else made

    def _ask(self, connection: socket.socket, message: bytes) -> tuple[int, bytes]:
        try:
            connection.sendall(message)
            status, content = _reply(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return status, content


def _reply(connection: socket.socket) -> tuple[int, bytes]:
    """A reply with a Content-Length, as all of DynamoDB's are."""
    told = b""
    while (end := told.find(b"\r\n\r\n")) < 0:
        told += _more(connection)
        if len(told) > _HEAD_BYTES and b"\r\n\r\n" not in told:
            raise ConnectionError("the reply has no end of its head")
    head = told[:end].lower()
    length = re.search(rb"\r\ncontent-length: *(\d+)", head)
    if not head.startswith(b"http/1.1 ") or length is None or int(length[1]) > _REPLY_BYTES:
        raise ConnectionError("the reply is not one of DynamoDB's")
    parts, left = [told[end + 4 :]], int(length[1]) - len(told) + end + 4
    while left > 0:
        parts.append(_more(connection))
        left -= len(parts[-1])
    if left:
        raise ConnectionError("the reply is longer than it says")
    return int(head[9:12]), b"".join(parts)


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise ConnectionResetError("closed by the other side")
    return part


def _refused(operation: str, status: int, content: bytes) -> ClientError:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        told = {}
    code = str(told.get("__type", status)).rpartition("#")[2]
    message = str(told.get("message", told.get("Message", "")))
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)
