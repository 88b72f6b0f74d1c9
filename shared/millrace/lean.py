"""A DynamoDB client whose batches cost a fraction of the CPU: its bytes are written and signed here. AWS: DynamoDB.

For each request boto3 checks and walks every value of every item by its model of the API, about 100 us an item; for a
batch of items that are typed already orjson does it in 1. Everything else is boto3's: credentials, the signature, the
connections, and every other call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from botocore.httpsession import URLLib3Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TRIES = 3
_CONNECTIONS = 32
_TIMEOUT_S = (2.0, 10.0)
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
        self._http = URLLib3Session(max_pool_connections=_CONNECTIONS, timeout=_TIMEOUT_S)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
        return self._call("BatchExecuteStatement", orjson.dumps({"Statements": Statements}))

    def _call(self, operation: str, body: bytes) -> Any:
        """Tries again as boto3's standard mode does: connections, 5xx and throttles, three tries, full jitter."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._send(operation, body)
            except (HTTPClientError, ConnectionError):
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
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        request = AWSRequest(method="POST", url=meta.endpoint_url + "/", data=body, headers=headers)
        SigV4Auth(self._credentials.get_frozen_credentials(), "dynamodb", meta.region_name).add_auth(request)
        prepared = request.prepare()
        # Who listens to boto3's requests, an emulator for one, may answer in the wire's place.
        heard = meta.events.emit(f"before-send.dynamodb.{operation}", request=prepared)
        answer = next((reply for _, reply in heard if reply is not None), None) or self._http.send(prepared)
        if answer.status_code == 200:
            return orjson.loads(answer.content)
        raise _refused(operation, answer.status_code, answer.content)


def _refused(operation: str, status: int, content: bytes) -> ClientError:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        told = {}
    code = str(told.get("__type", status)).rpartition("#")[2]
    message = str(told.get("message", told.get("Message", "")))
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)
