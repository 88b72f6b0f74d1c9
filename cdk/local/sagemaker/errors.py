"""SageMaker's errors, as its wire protocol names them."""

from __future__ import annotations

from typing import Any


class AwsError(Exception):
    """Reaches the caller as botocore's ClientError with this code."""

    def __init__(self, code: str, message: str, status: int = 400, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.more = more


def invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def in_use(message: str) -> AwsError:
    return AwsError("ResourceInUse", message)


def not_found(message: str) -> AwsError:
    """What SageMaker says of an unknown name."""
    return AwsError("ValidationException", message)
