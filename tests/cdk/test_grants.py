"""Roles against calls: what our code calls, some role allows; what a function's role allows, our code calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest

from cdk import rules
from cdk.bundle import ROOT

from .conftest import Assembly

SERVICES = ("s3", "dynamodb", "sagemaker", "sagemaker-runtime", "stepfunctions", "secretsmanager", "sqs")
PREFIX = {"stepfunctions": "states", "sagemaker-runtime": "sagemaker"}
NAMED_OTHERWISE = {
    "s3:HeadObject": {"s3:GetObject"},
    "s3:HeadBucket": {"s3:ListBucket"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
    "s3:DeleteObjects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "s3:CreateMultipartUpload": {"s3:PutObject"},
    "s3:UploadPart": {"s3:PutObject"},
    "s3:UploadPartCopy": {"s3:PutObject", "s3:GetObject"},
    "s3:CompleteMultipartUpload": {"s3:PutObject"},
    "s3:ListParts": {"s3:ListMultipartUploadParts"},
    "s3:ListMultipartUploads": {"s3:ListBucketMultipartUploads"},
    "dynamodb:TransactWriteItems": {
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
    },
    "dynamodb:BatchExecuteStatement": {"dynamodb:PartiQLInsert"},
}
"""Calls that IAM knows under another name."""
IMPLIED = {
    "s3:GetObjectVersion": "get_object with a VersionId",
    "s3:AbortMultipartUpload": "what an interrupted upload leaves",
    "s3:PutObjectTagging": "what expires bears a tag",
    "s3:ListBucket": "a missing object is told as missing",
    "kms:Decrypt": "everything is encrypted",
    "kms:GenerateDataKey": "everything is encrypted",
    "kms:DescribeKey": "SageMaker looks at the key of an endpoint",
    "kms:CreateGrant": "SageMaker uses the key of an endpoint",
    "iam:PassRole": "SageMaker runs an endpoint under our role",
    "logs:CreateLogStream": "the Lambda runtime",
    "logs:PutLogEvents": "the Lambda runtime",
    "xray:PutTraceSegments": "the Lambda runtime",
    "xray:PutTelemetryRecords": "the Lambda runtime",
    "sqs:SendMessage": "dead letters",
    "dynamodb:DescribeStream": "the event source",
    "dynamodb:GetRecords": "the event source",
    "dynamodb:GetShardIterator": "the event source",
    "dynamodb:ListStreams": "the event source",
    "sqs:ReceiveMessage": "the event source",
    "sqs:DeleteMessage": "the event source",
    "sqs:ChangeMessageVisibility": "the event source",
    "sqs:GetQueueUrl": "the event source",
    "sqs:GetQueueAttributes": "the event source",
}
"""Allowed without a call of ours, and who makes it."""


def methods() -> dict[str, str]:
    """Method of a boto3 client -> IAM action. One word, like `search`, is a method of too much else."""
    session = botocore.session.get_session()
    return {
        botocore.xform_name(operation): f"{PREFIX.get(service, service)}:{operation}"
        for service in SERVICES
        for operation in session.get_service_model(service).operation_names
        if "_" in botocore.xform_name(operation) or operation == "Query"
    } | {"put_events": "events:PutEvents"}  # EventBridge's other calls have names of SageMaker's


BY_HAND = ("shared/millrace/executors/", "shared/millrace/cli/")
"""Runs on a person's machine, with that person's own rights."""


def called() -> dict[str, str]:
    """IAM action -> a place in the functions' code that needs it."""
    known = methods()
    return {
        action: place
        for path in [*ROOT.glob("shared/millrace/**/*.py"), *ROOT.glob("functions/**/*.py")]
        for name, place in _attributes(path)
        if name in known and not place.startswith(BY_HAND)
        for action in NAMED_OTHERWISE.get(known[name], {known[name]})
    }


def _attributes(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr, f"{path.relative_to(ROOT)}:{node.lineno}"


def allowed(stack: Assembly) -> set[str]:
    """Every action that the role of a function of ours allows."""
    roles = {function["Role"]["Fn::GetAtt"][0] for function in stack.functions().values()}
    return {
        action
        for policy in stack.of_type("AWS::IAM::Policy").values()
        if {role["Ref"] for role in policy["Properties"]["Roles"]} & roles
        for statement in rules.statements(policy)
        for action in rules.listed(statement["Action"])
    }


@pytest.fixture
def grants(prod: Assembly) -> set[str]:
    return allowed(prod)


def test_everything_that_is_called_is_allowed_to_somebody(grants: set[str]) -> None:
    missing = {action: place for action, place in called().items() if action not in grants}

    assert missing == {}


def test_nothing_is_allowed_that_nobody_calls(grants: set[str]) -> None:
    assert grants - called().keys() - IMPLIED.keys() == set()


def test_the_scan_sees_calls() -> None:
    """Against a scan that finds nothing and so never fails."""
    assert {"s3:GetObject", "dynamodb:Query", "states:StartExecution", "sagemaker:InvokeEndpoint"} <= called().keys()
