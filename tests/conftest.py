"""What the suites share: an environment in which every handler can be imported, and the embedded table and buckets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.emulated import lock_moto
from tests.fakes import LONG, FakeSageMaker

settings.register_profile(
    "millrace", deadline=None, derandomize=not LONG, suppress_health_check=list(HealthCheck), database=None
)
settings.load_profile("millrace")

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "MILLRACE_STAGE": "local",
    "MILLRACE_TABLE": "millrace-test",
    "MILLRACE_DATA_BUCKET": "millrace-test-data",
    "MILLRACE_DROP_BUCKET": "millrace-test-drops",
    "MILLRACE_INGEST_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/millrace-test-ingest",
    "MILLRACE_TRAIN_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:train",
    "MILLRACE_UNPACK_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:unpack",
    "MILLRACE_TRAIN_THRESHOLD": "60",
    "MILLRACE_INSTANCE_TYPE": "ml.local",
    "MILLRACE_PROVIDER_SECRET": "millrace-test-providers",
    "MILLRACE_REWRITE_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/millrace-test-rewrites",
    "MILLRACE_CURSOR_SECRET": "millrace-test-cursors",
    "MILLRACE_IMAGES": '{"lora": "lora:1", "gguf": "gguf:1", "serve": "serve:1", "cnn_search": "cnn:1"}',
    "MILLRACE_TRAINING_ROLE": "arn:aws:iam::123456789012:role/containers",
    "MILLRACE_KMS_KEY": "arn:aws:kms:us-east-1:123456789012:key/1",
    "POWERTOOLS_SERVICE_NAME": "millrace",
    "POWERTOOLS_METRICS_NAMESPACE": "Millrace",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return ENVIRONMENT


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    """In place of moto's, which stops and updates nothing."""
    from millrace import aws

    fake = FakeSageMaker()
    monkeypatch.setattr(aws, "sagemaker", lambda: fake)
    return fake


@pytest.fixture
def embedded(environment: dict[str, str], sagemaker: FakeSageMaker) -> Iterator[dict[str, str]]:
    """moto with our table, buckets and state machine; one lock round the table, or its races would prove nothing."""
    from moto import mock_aws

    lock_moto()
    with mock_aws():
        _make(environment)
        _forget()
        yield environment


def _forget() -> None:
    """What a warm process has made and read lately is not of this test's table."""
    import sys

    for name, module in list(sys.modules.items()):
        if name.startswith("functions."):
            for value in list(vars(module).values()):
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()


def _make(environment: dict[str, str]) -> None:
    from millrace import aws  # its clients stay from test to test; moto stands behind each of them

    names = ("pk", "sk", "list_pk", "list_sk")
    aws.dynamodb().create_table(
        TableName=environment["MILLRACE_TABLE"],
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=_schema("pk", "sk"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_time",
                "KeySchema": _schema("list_pk", "list_sk"),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    aws.sqs().create_queue(QueueName=environment["MILLRACE_REWRITE_QUEUE"].rsplit("/", 1)[1])
    s3 = aws.s3()
    for name in ("MILLRACE_DATA_BUCKET", "MILLRACE_DROP_BUCKET"):
        s3.create_bucket(Bucket=environment[name])
        s3.put_bucket_versioning(Bucket=environment[name], VersioningConfiguration={"Status": "Enabled"})
    aws.secretsmanager().create_secret(Name=environment["MILLRACE_CURSOR_SECRET"], SecretString="signs")
    aws.sqs().create_queue(QueueName=environment["MILLRACE_INGEST_QUEUE"].rsplit("/", 1)[1])
    definition = '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}'
    role = "arn:aws:iam::123456789012:role/states"
    for name in ("train", "unpack"):
        aws.stepfunctions().create_state_machine(name=name, definition=definition, roleArn=role)


def _schema(hash: str, range: str) -> list[dict[str, str]]:
    return [{"AttributeName": hash, "KeyType": "HASH"}, {"AttributeName": range, "KeyType": "RANGE"}]
