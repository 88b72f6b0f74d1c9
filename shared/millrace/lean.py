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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
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

IN_FLIGHT = 6
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
        return self._ended(self._begun("BatchExecuteStatement", _statements(Statements)))

    def execute_batches(self, batches: Iterable[list[Any]]) -> Iterator[Any]:
        """The answers to many batches, in their order; IN_FLIGHT are under way at once, and all by one thread.

        Threads would wait for each other's turn in the interpreter at every send and every receive, and cost a third
        of the time. A batch is made when its turn comes, while those before it are under way.
        """
        under_way: deque[_Asked] = deque()
        try:
            for statements in batches:
                under_way.append(self._begun("BatchExecuteStatement", _statements(statements)))
                if len(under_way) >= IN_FLIGHT:
                    yield self._ended(under_way.popleft())
            while under_way:
                yield self._ended(under_way.popleft())
        finally:
            for asked in under_way:
                asked.close()

    def _begun(self, operation: str, body: bytes) -> _Asked:
        meta = self._client.meta
        target = f"DynamoDB_20120810.{operation}"
        headers = signed(self._credentials.get_frozen_credentials(), meta.region_name, self._host, target, body)
        # Who listens to boto3's requests, an emulator for one, may answer in the wire's place.
        request = AWSPreparedRequest("POST", meta.endpoint_url + "/", headers, body, False)  # type: ignore[arg-type]
        heard = meta.events.emit(f"before-send.dynamodb.{operation}", request=request)
        other = next((reply for _, reply in heard if reply is not None), None)
        asked = _Asked(operation, body)
        if other:
            asked.reply = (other.status_code, other.content)
        else:
            asked.sent = self._wire.send(body, headers)
        return asked

    def _ended(self, asked: _Asked) -> Any:
        """Tries again as boto3's standard mode does: connections, 5xx and throttles, three tries, full jitter."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._answer(asked)
            except HTTPClientError:
                if not tries_left:
                    raise
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if not tries_left or (status < 500 and error.response["Error"]["Code"] not in _AGAIN):
                    raise
            self._pause(random.uniform(0, 2.0 ** (_TRIES - 1 - tries_left)))  # noqa: S311 - jitter, not a secret
            asked = self._begun(asked.operation, asked.body)
        raise AssertionError("the last try raises or returns")

    def _answer(self, asked: _Asked) -> Any:
        status, content = asked.reply or self._wire.reply(asked.sent)
        if status == 200:
            return orjson.loads(content)
        raise _refused(asked.operation, status, content)


def _statements(batch: list[Any]) -> bytes:
    return orjson.dumps({"Statements": batch})


@dataclass(slots=True)
class _Sent:
    """A message on its way: the connection that it took, or why it could take none."""

    message: bytes
    connection: socket.socket | None = None
    kept: bool = False
    """Whether the connection had served before: the other side may have closed it meanwhile."""
    error: OSError | None = None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


@dataclass(slots=True)
class _Asked:
    """A request whose answer nobody has read yet."""

    operation: str
    body: bytes
    sent: _Sent = field(default_factory=lambda: _Sent(b""))
    reply: tuple[int, bytes] | None = None
    """Of who answers in the wire's place."""

    def close(self) -> None:
        self.sent.close()


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

    def send(self, body: bytes, headers: dict[str, str]) -> _Sent:
        """On a kept connection or a new one; what goes wrong is told by `reply`."""
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        message = f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body
        try:
            kept = self._idle.pop()  # in one step: other threads take from here as well
        except IndexError:
            return self._sent(_Sent(message))
        return self._sent(_Sent(message, kept, kept=True))

    def reply(self, sent: _Sent) -> tuple[int, bytes]:
        """Where the other side had closed a kept connection, the message goes at once on a new one."""
        try:
            try:
                return self._received(sent)
            except ConnectionError:
                if not sent.kept:
                    raise
                return self._received(self._sent(_Sent(sent.message)))
        except OSError as error:
            raise HTTPClientError(error=error) from error

    def _open(self) -> socket.socket:
        made = socket.create_connection(self._place, timeout=_CONNECT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(_READ_S)
        return self._tls.wrap_socket(made, server_hostname=self._place[0]) if self._tls else made

    def _sent(self, message: _Sent) -> _Sent:
        try:
            message.connection = message.connection or self._open()
            message.connection.sendall(message.message)
        except OSError as error:
            message.error = error
        except BaseException:
            message.close()
            raise
        return message

    def _received(self, sent: _Sent) -> tuple[int, bytes]:
        try:
            if sent.error or sent.connection is None:
                raise sent.error or ConnectionError("nothing was sent")
            status, content = _reply(sent.connection)
        except BaseException:
            sent.close()
            raise
        self._idle.append(sent.connection)
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
