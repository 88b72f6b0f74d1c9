"""AWS's JSON services without boto3, in a Lambda function: the bytes are written here. AWS: DynamoDB, Secrets Manager.

boto3 takes 0.13 s of CPU to import and 0.06 for a client, at each cold start. Then it checks and walks every value of
every request by its model of the API, about 100 us an item of a batch, where orjson takes 1; its connections take 0.7
ms of CPU a request and, as they send head and body apart, may wait 40 ms for an acknowledgement, where those here take
0.05 and none. Arguments, answers and errors are boto3's, but for binary values, which come as AWS sends them: base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import re
import secrets
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

IN_FLIGHT = 6
_TRIES = 3
_CONNECT_S, _READ_S = 2.0, 10.0
_HEAD_BYTES, _REPLY_BYTES = 64 * 1024, 32 * 1024 * 1024
_AGAIN = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "TransactionInProgressException",
    "RequestTimeout",
    "RequestTimeoutException",
}
"""What boto3's standard mode tries again, as far as these services say it."""


@dataclass(frozen=True)
class _Service:
    name: str
    """In the name of the variable that holds its endpoint."""
    target: str
    content_type: str
    operations: tuple[str, ...]


_SERVICES = {
    "dynamodb": _Service(
        "DYNAMODB",
        "DynamoDB_20120810",
        "application/x-amz-json-1.0",
        (
            "GetItem",
            "PutItem",
            "UpdateItem",
            "DeleteItem",
            "Query",
            "BatchGetItem",
            "BatchExecuteStatement",
            "TransactWriteItems",
        ),
    ),
    "secretsmanager": _Service("SECRETS_MANAGER", "secretsmanager", "application/x-amz-json-1.1", ("GetSecretValue",)),
}


@dataclass(frozen=True)
class Place:
    """Where a service answers, and as whom it is asked."""

    service: str
    url: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


_NOT_OURS = (
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)
"""Wishes that boto3 knows how to follow."""
_REGION = re.compile(r"(?!us-iso|eu-iso|cn-)[a-z]{2}-[a-z-]+-[0-9]{1,2}")


def place(service: str, env: Mapping[str, str]) -> Place | None:
    """As a Lambda function's environment tells it: its role's keys, for as long as the process lives, and the region.

    None where this is no function, or where the environment asks for what only boto3 can do.
    """
    names = ("AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
    if not all(env.get(name) for name in names) or any(env.get(name) for name in _NOT_OURS):
        return None
    if not _REGION.fullmatch(region):
        return None
    url = env.get(f"AWS_ENDPOINT_URL_{_SERVICES[service].name}") or env.get("AWS_ENDPOINT_URL")
    return Place(
        service,
        (url or f"https://{service}.{region}.amazonaws.com").rstrip("/"),
        region,
        env["AWS_ACCESS_KEY_ID"],
        env["AWS_SECRET_ACCESS_KEY"],
        env.get("AWS_SESSION_TOKEN") or None,
    )


class Lean:
    """A client as boto3's, of the operations above: get_item, put_item, ..."""

    def __init__(self, place: Place, pause: Callable[[float], None] = time.sleep) -> None:
        self._place, self._pause, self._service = place, pause, _SERVICES[place.service]
        self._wire, self._host = _Wire(place.url), urlsplit(place.url).netloc
        for operation in self._service.operations:
            setattr(self, _snake(operation), partial(self._call, operation))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def execute_batches(self, batches: Iterable[list[Any]]) -> Iterator[Any]:
        """The answers to many batches of statements, in their order; IN_FLIGHT are under way at once, by one thread.

        Threads would wait for each other's turn in the interpreter at every send and every receive, and cost a third
        of the time. A batch is made when its turn comes, while those before it are under way.
        """
        under_way: deque[_Asked] = deque()
        try:
            for statements in batches:
                under_way.append(self._begun("BatchExecuteStatement", _body({"Statements": statements})))
                if len(under_way) >= IN_FLIGHT:
                    yield self._ended(under_way.popleft())
            while under_way:
                yield self._ended(under_way.popleft())
        finally:
            for asked in under_way:
                asked.close()

    def _call(self, operation: str, **arguments: Any) -> Any:
        if operation == "TransactWriteItems":
            arguments.setdefault("ClientRequestToken", secrets.token_hex(16))  # one for all tries, as boto3 does it
        return self._ended(self._begun(operation, _body(arguments)))

    def _begun(self, operation: str, body: bytes) -> _Asked:
        return _Asked(operation, body, self._wire.send(body, signed(self._place, self._host, operation, body)))

    def _ended(self, asked: _Asked) -> Any:
        """Tries again as boto3's standard mode does: connections, 5xx and throttles, three tries, full jitter."""
        for tries_left in reversed(range(_TRIES)):
            try:
                status, content = self._wire.reply(asked.sent)
            except OSError as error:
                if not tries_left:
                    raise _unanswered(error) from error
            else:
                if status == 200:
                    return orjson.loads(content or b"{}")
                refused = _refused(asked.operation, status, content)
                if not tries_left or (status < 500 and refused.response["Error"]["Code"] not in _AGAIN):
                    raise refused
            self._pause(random.uniform(0, 2.0 ** (_TRIES - 1 - tries_left)))  # noqa: S311 - jitter, not a secret
            asked = self._begun(asked.operation, asked.body)
        raise AssertionError("the last try raises or returns")


def _snake(operation: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", operation).lower()


def _body(arguments: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(arguments, default=_binary)
    except orjson.JSONEncodeError:  # half of a surrogate pair, which orjson does not write
        return json.dumps(arguments, default=_binary).encode()


def _binary(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not JSON")


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
    sent: _Sent

    def close(self) -> None:
        self.sent.close()


def signed(place: Place, host: str, operation: str, body: bytes) -> dict[str, str]:
    """The headers of one request, with AWS's signature, version 4, over all of them and the body."""
    now, service = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), _SERVICES[place.service]
    headers = {"content-type": service.content_type, "host": host, "x-amz-date": now}
    if place.token:
        headers["x-amz-security-token"] = place.token
    headers["x-amz-target"] = f"{service.target}.{operation}"
    names = ";".join(headers)  # in the order of the alphabet, as they must be
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{now[:8]}/{place.region}/{place.service}/aws4_request"
    told = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = _key(place.secret_key, now[:8], place.region, place.service)
    by = f"AWS4-HMAC-SHA256 Credential={place.access_key}/{scope}"
    return {
        **headers,
        "Authorization": f"{by}, SignedHeaders={names}, Signature={hmac.digest(key, told.encode(), 'sha256').hex()}",
        "Content-Length": str(len(body)),
    }


@lru_cache(4)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class _Wire:
    """Kept connections to one place, in as much HTTP as DynamoDB speaks; each is used by one thread at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._tls = ssl.create_default_context(cafile=_bundle()) if parts.scheme == "https" else None
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
            return self._received(sent)
        except ConnectionError:
            if not sent.kept:
                raise
            return self._received(self._sent(_Sent(sent.message)))

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


def _bundle() -> str | None:
    """The certificates that boto3 trusts; importing it is not needed to know where they lie."""
    told = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    found = find_spec("botocore")
    return told or (str(Path(found.origin).with_name("cacert.pem")) if found and found.origin else None)


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
    """With what DynamoDB tells beside its code: what stood there, why a transaction was cancelled."""
    from botocore.exceptions import ClientError

    try:
        told = dict(orjson.loads(content))
    except (ValueError, TypeError):
        told = {}
    code = str(told.pop("__type", status)).rpartition("#")[2]
    message = str(told.pop("message", told.pop("Message", "")))
    more: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told | more, operation)


def _unanswered(error: OSError) -> Exception:
    from botocore.exceptions import HTTPClientError

    return HTTPClientError(error=error)
