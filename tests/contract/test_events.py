"""What AWS sends is what the handlers read: made by an emulator of AWS, not by us."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functions.conftest import CONTEXT


@pytest.mark.parametrize("name", ["a.csv", "with space & plus+.csv", "unter/ordner/größe.csv"])
def test_a_notice_of_s3_that_came_through_eventbridge_and_a_queue_is_collected(
    embedded: dict[str, str], name: str
) -> None:
    import boto3
    from millrace import aws
    from millrace.tenants import Tenant

    from functions import parts
    from functions.gateway.shapes import settings
    from functions.ingest.handler import handler

    bucket, events, sqs = embedded["MILLRACE_DROP_BUCKET"], boto3.client("events"), boto3.client("sqs")
    queue = sqs.create_queue(QueueName="drops")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [bucket]}}}
    events.put_rule(Name="dropped", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="dropped", Targets=[{"Id": "1", "Arn": arn}])
    aws.s3().put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    aws.s3().put_object(Bucket=bucket, Key=f"drop/acme/{name}", Body=b"prompt,completion\na,b\n")

    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    event: dict[str, Any] = {
        "Records": [{"messageId": message["MessageId"], "body": message["Body"], "eventSource": "aws:sqs"}]
    }

    assert handler(event, CONTEXT) == {"batchItemFailures": []}
    items, _ = parts.intake(settings).page(Tenant("acme"), 10, None)
    assert [(item["key"], item["accepted"]) for item in items] == [(f"drop/acme/{name}", 1)]


def test_the_recorded_event_of_the_http_api_is_the_one_that_powertools_describes() -> None:
    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

    from tests.functions.conftest import http_event

    event = APIGatewayProxyEventV2(http_event("POST", "/api/humanize", "{}", caller={"tenant": "acme"}))
    assert (event.raw_path, event.http_method) == ("/api/humanize", "POST")
    authorizer = event.request_context.authorizer
    assert authorizer and authorizer.get_lambda == {"tenant": "acme"}


def test_what_the_authorizer_says_is_what_the_gateway_reads(embedded: dict[str, str]) -> None:
    from millrace.access import Access, fresh_key
    from millrace.contract import Tier
    from millrace.tenants import Role, Tenant

    from functions import parts
    from functions.authorize.handler import handler, settings
    from tests.functions.conftest import http_event

    key = fresh_key()
    Access(parts.table(settings)).grant(key, Tenant("acme", Tier.BASIC, frozenset({Role.READER})))
    told = handler({"version": "2.0", "headers": {"authorization": f"Bearer {key}"}}, CONTEXT)
    from functions.gateway.handler import handler as gateway

    def status(method: str, path: str, body: str | None = None) -> int:
        return int(gateway(http_event(method, path, body, caller=told["context"]), CONTEXT)["statusCode"])  # type: ignore[arg-type]

    assert status("GET", "/api/models") == 200
    assert status("POST", "/api/humanize", '{"text": "a"}') == 403
