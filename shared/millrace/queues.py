"""Messages to ourselves. AWS: SQS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from . import aws

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Queue:
    """One queue. A message is small and names what it is about; it may come twice."""

    client: SQSClient
    url: str

    def send(self, message: dict[str, Any]) -> None:
        with aws.mapped("Queueing a message"):
            self.client.send_message(QueueUrl=self.url, MessageBody=orjson.dumps(message).decode())
