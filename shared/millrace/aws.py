"""Clients of AWS, one of each per process, and the one place where botocore's errors become ours. AWS: all of it.

Endpoints and credentials come from the environment, so the same code meets AWS and the local twin. In a Lambda function
DynamoDB and Secrets Manager are spoken to by `lean`; botocore is loaded, and a client of it made, by its first call:
both together are 0.2 s of a cold start, and many requests are answered without.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from .errors import MillraceError, NotFound, Throttled, Unavailable
from .lean import Lean, place

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

_CONFIG: dict[str, Any] = {
    "connect_timeout": 2,
    "read_timeout": 10,
    "retries": {"mode": "standard", "max_attempts": 3},
    "max_pool_connections": 32,
}
_OWN: dict[str, dict[str, Any]] = {
    # What is encrypted under a key of KMS is shown by no link of an older signature.
    "s3": {"signature_version": "s3v4"},
    # No retries of its own: humanize has the one retry layer and the one deadline.
    "sagemaker-runtime": {"read_timeout": 25, "retries": {"mode": "standard", "total_max_attempts": 1}},
}
"""What a service's client has of its own."""

_THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
}
_MISSING = {
    "NoSuchKey",
    "NoSuchUpload",
    "NoSuchVersion",
    "NoSuchBucket",
    "404",
    "ResourceNotFoundException",
    "ResourceNotFound",
    "ExecutionDoesNotExist",
}
_OVER = "ValidationException"
"""What SageMaker says to the stop of a training job that is over, and of one that never was."""


_making = threading.Lock()


@cache
def _client(service: str) -> Any:
    from botocore.config import Config

    with _making:  # a session makes one at a time
        return _session().create_client(service, config=Config(**(_CONFIG | _OWN.get(service, {}))))


@cache
def _session() -> Any:
    """botocore's: boto3's clients are made by it, and boto3 adds what nobody here asks for, and a fifth of the time."""
    from botocore.session import get_session

    return get_session()


class _Later:
    """A client of botocore's, made when something is asked of it."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(_client(self._service), name)


@cache
def _lean(service: str) -> Any:
    there = place(service, os.environ)
    return Lean(there) if there else _Later(service)


def dynamodb() -> DynamoDBClient:
    client: DynamoDBClient = _lean("dynamodb")
    return client


def secretsmanager() -> SecretsManagerClient:
    client: SecretsManagerClient = _lean("secretsmanager")
    return client


@cache
def s3() -> S3Client:
    client: Any = _Later("s3")
    return client  # type: ignore[no-any-return]


@cache
def events() -> EventBridgeClient:
    client: Any = _Later("events")
    return client  # type: ignore[no-any-return]


@cache
def stepfunctions() -> SFNClient:
    client: Any = _Later("stepfunctions")
    return client  # type: ignore[no-any-return]


@cache
def sagemaker() -> SageMakerClient:
    client: Any = _Later("sagemaker")
    return client  # type: ignore[no-any-return]


@cache
def sagemaker_runtime() -> SageMakerRuntimeClient:
    client: Any = _Later("sagemaker-runtime")
    return client  # type: ignore[no-any-return]


@cache
def sqs() -> SQSClient:
    client: Any = _Later("sqs")
    return client  # type: ignore[no-any-return]


def refusals(*names: str) -> tuple[type[ClientError], ...]:
    """Errors of botocore's, ClientError where none is named, to be caught; none where it is not loaded.

    What is not loaded was raised by nobody.
    """
    loaded = sys.modules.get("botocore.exceptions")
    return tuple(getattr(loaded, name) for name in names or ("ClientError",)) if loaded else ()


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Foreign errors become ours here and nowhere else. `what` completes the sentence "... failed"."""
    try:
        yield
    except refusals() as error:
        raise _ours(what, error) from error
    except refusals("ParamValidationError") as error:
        # Its message quotes the values, which may be a user's text.
        raise MillraceError(f"{what} was not a call that the service has.") from error
    except refusals("BotoCoreError") as error:
        raise Unavailable(f"{what} failed: {error}") from error


def stop(what: str, call: Callable[..., Any], **arguments: Any) -> None:
    """Stopping what is not there, or is over, is a success; any other refusal is told."""
    try:
        with mapped(what):
            call(**arguments)
    except NotFound:
        return
    except MillraceError as error:
        cause = error.__cause__
        if not isinstance(cause, refusals()) or code_of(cause) != _OVER:
            raise


def _ours(what: str, error: ClientError) -> MillraceError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _THROTTLES or status == 429:
        return Throttled(f"{what} was throttled ({code}).")
    if code in _MISSING:
        return NotFound(f"{what} found nothing ({code}).")
    if status >= 500:
        return Unavailable(f"{what} failed with {code}.")
    return MillraceError(f"{what} was refused with {code}: {error.response.get('Error', {}).get('Message', '')}")
