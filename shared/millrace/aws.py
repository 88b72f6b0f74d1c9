"""boto3 clients, one of each per process, and the one place where botocore's errors become ours. AWS: all of it.

Endpoints and credentials come from the environment, so the same code meets AWS and the local twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from .errors import MillraceError, NotFound, Throttled, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "max_attempts": 3},
    max_pool_connections=32,
)

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


@cache
def _client(service: str, config: Config = _CONFIG) -> Any:
    return boto3.client(service, config=config)  # type: ignore[call-overload]


def dynamodb() -> DynamoDBClient:
    client: DynamoDBClient = _client("dynamodb")
    return client


_SIGNED = _CONFIG.merge(Config(signature_version="s3v4"))
"""What is encrypted under a key of KMS is shown by no link of an older signature."""


@cache
def lean_dynamodb() -> DynamoDBClient:
    """For who writes by the thousand."""
    from .lean import Lean

    client: Any = Lean(dynamodb(), boto3.Session())
    return client  # type: ignore[no-any-return]


def s3() -> S3Client:
    client: S3Client = _client("s3", _SIGNED)
    return client


def events() -> EventBridgeClient:
    client: EventBridgeClient = _client("events")
    return client


_SIGNING = _CONFIG.merge(Config(signature_version="s3v4"))


def s3_signer() -> S3Client:
    """For addresses that others use: objects under a key of KMS take no older signature than this."""
    client: S3Client = _client("s3", _SIGNING)
    return client


def stepfunctions() -> SFNClient:
    client: SFNClient = _client("stepfunctions")
    return client


def sagemaker() -> SageMakerClient:
    client: SageMakerClient = _client("sagemaker")
    return client


_INVOKE = _CONFIG.merge(Config(read_timeout=25, retries={"mode": "standard", "total_max_attempts": 1}))


def sagemaker_runtime() -> SageMakerRuntimeClient:
    """No retries of its own: humanize has the one retry layer and the one deadline."""
    client: SageMakerRuntimeClient = _client("sagemaker-runtime", _INVOKE)
    return client


def secretsmanager() -> SecretsManagerClient:
    client: SecretsManagerClient = _client("secretsmanager")
    return client


def sqs() -> SQSClient:
    client: SQSClient = _client("sqs")
    return client


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Foreign errors become ours here and nowhere else. `what` completes the sentence "... failed"."""
    try:
        yield
    except ClientError as error:
        raise _ours(what, error) from error
    except ParamValidationError as error:
        # Its message quotes the values, which may be a user's text.
        raise MillraceError(f"{what} was not a call that the service has.") from error
    except BotoCoreError as error:
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
        if not isinstance(cause, ClientError) or code_of(cause) != _OVER:
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
