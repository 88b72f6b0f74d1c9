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

    def hide(self, receipt: str, for_s: int) -> None:
        """A message that was received comes again after so long, unless it is deleted or hidden again before."""
        with aws.mapped("Hiding a message"):
            self.client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=for_s)
