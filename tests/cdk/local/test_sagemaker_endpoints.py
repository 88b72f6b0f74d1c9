"""Endpoints that really serve: bring-up, calls, blue/green, failures."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import IMAGE, ROLE, Aws, until


def prepare(aws: Aws, bucket: str, name: str, isolated: bool = False, **env: str) -> None:
    """A model whose data says its own name, and a configuration of it."""
    aws.s3.put_object(Bucket=bucket, Key=f"models/{name}/name.txt", Body=name.encode())
    data = {"S3Uri": f"s3://{bucket}/models/{name}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    primary = {"Image": IMAGE, "Environment": env, "ModelDataSource": {"S3DataSource": data}}
    aws.sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=primary, EnableNetworkIsolation=isolated
    )
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    aws.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def settled(aws: Aws, name: str) -> dict[str, Any]:
    def over() -> Any:
        found = aws.sagemaker.describe_endpoint(EndpointName=name)
        return found if found["EndpointStatus"] in ("InService", "Failed") else None

    found: dict[str, Any] = until(over, f"endpoint {name}")
    return found


def ask(aws: Aws, name: str, body: bytes = b"hello") -> dict[str, Any]:
    answer = aws.sagemaker_runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/plain")
    found: dict[str, Any] = json.loads(answer["Body"].read())
    return found


def asked(aws: Aws, name: str) -> bool:
    """Whether a container of this endpoint has what it answers slowly."""
    return any(aws.twin.state.glob(f"endpoints/{name}-*/asked"))


@pytest.mark.parametrize("isolated", [False, True])
def test_an_endpoint_serves_its_model_then_another_then_goes(aws: Aws, bucket: str, isolated: bool) -> None:
    name = f"served-{isolated}".lower()
    prepare(aws, bucket, name, isolated)
    prepare(aws, bucket, f"{name}-next", isolated)

    aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled(aws, name)["EndpointStatus"] == "InService"
    told = ask(aws, name)
    assert (told["echo"], told["type"], told["model"]) == ("hello", "text/plain", name)

    aws.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-next")
    assert ask(aws, name)["model"] in (name, f"{name}-next")
    until(lambda: ask(aws, name)["model"] == f"{name}-next", "the new model")
    assert settled(aws, name)["EndpointConfigName"] == f"{name}-next"

    aws.sagemaker.delete_endpoint(EndpointName=name)
    until(lambda: name not in [e["EndpointName"] for e in aws.sagemaker.list_endpoints()["Endpoints"]], "its end")
    with pytest.raises(ClientError, match="not found"):
        ask(aws, name)


@pytest.mark.parametrize("goes", ["updated", "deleted"])
def test_a_container_that_goes_first_gives_the_answers_it_was_asked_for(aws: Aws, bucket: str, goes: str) -> None:
    prepare(aws, bucket, goes)
    prepare(aws, bucket, f"{goes}-next")
    aws.sagemaker.create_endpoint(EndpointName=goes, EndpointConfigName=goes)
    settled(aws, goes)

    with ThreadPoolExecutor() as pool:
        slow = pool.submit(ask, aws, goes, b"slowly")
        until(lambda: asked(aws, goes), "the question")
        if goes == "updated":
            aws.sagemaker.update_endpoint(EndpointName=goes, EndpointConfigName=f"{goes}-next")
            until(lambda: ask(aws, goes)["model"] == f"{goes}-next", "the new model")
        else:
            aws.sagemaker.delete_endpoint(EndpointName=goes)
        assert slow.result()["model"] == goes


def test_an_endpoint_that_is_deleted_twice_is_gone_once_and_not_the_one_made_after_it(aws: Aws, bucket: str) -> None:
    prepare(aws, bucket, "again")
    aws.sagemaker.create_endpoint(EndpointName="again", EndpointConfigName="again")
    settled(aws, "again")

    with ThreadPoolExecutor() as pool:
        slow = pool.submit(ask, aws, "again", b"slowly")
        until(lambda: asked(aws, "again"), "the question")
        for _ in range(2):
            aws.sagemaker.delete_endpoint(EndpointName="again")
        assert aws.sagemaker.describe_endpoint(EndpointName="again")["EndpointStatus"] == "Deleting"
        assert slow.result()["model"] == "again"

    def made() -> bool:
        try:
            return bool(aws.sagemaker.create_endpoint(EndpointName="again", EndpointConfigName="again"))
        except ClientError:
            return False

    until(made, "the first one's end")
    assert settled(aws, "again")["EndpointStatus"] == "InService"


def test_an_answer_streams_as_events(aws: Aws, bucket: str) -> None:
    prepare(aws, bucket, "streamed")
    aws.sagemaker.create_endpoint(EndpointName="streamed", EndpointConfigName="streamed")
    settled(aws, "streamed")

    answer = aws.sagemaker_runtime.invoke_endpoint_with_response_stream(EndpointName="streamed", Body=b"hi")

    body = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    assert json.loads(body)["echo"] == "hi"


def test_a_container_error_is_a_model_error_and_a_dead_container_comes_back(aws: Aws, bucket: str) -> None:
    prepare(aws, bucket, "broken")
    aws.sagemaker.create_endpoint(EndpointName="broken", EndpointConfigName="broken")
    settled(aws, "broken")
    before = ask(aws, "broken")["pid"]

    with pytest.raises(ClientError) as failed:
        ask(aws, "broken", b"boom")
    assert failed.value.response["Error"]["Code"] == "ModelError"
    assert failed.value.response["OriginalStatusCode"] == 500
    assert failed.value.response["OriginalMessage"] == "it broke"
    with pytest.raises(ClientError, match="ModelError"):
        ask(aws, "broken", b"die")

    def again() -> Any:
        try:
            return ask(aws, "broken")["pid"] != before
        except ClientError:
            return False

    until(again, "the new container")


def test_an_endpoint_that_cannot_start_fails_with_what_its_container_said(aws: Aws, bucket: str) -> None:
    prepare(aws, bucket, "refusing", BEHAVE="refuse")
    aws.sagemaker.create_endpoint(EndpointName="refusing", EndpointConfigName="refusing")

    found = settled(aws, "refusing")

    assert found["EndpointStatus"] == "Failed"
    assert "exit code 4" in found["FailureReason"] and "does not fit into memory" in found["FailureReason"]


def test_an_update_that_fails_leaves_the_old_model_serving(aws: Aws, bucket: str) -> None:
    prepare(aws, bucket, "steady")
    prepare(aws, bucket, "unsteady", BEHAVE="refuse")
    aws.sagemaker.create_endpoint(EndpointName="steady", EndpointConfigName="steady")
    settled(aws, "steady")

    aws.sagemaker.update_endpoint(EndpointName="steady", EndpointConfigName="unsteady")

    found = settled(aws, "steady")
    assert found["EndpointConfigName"] == "steady" and "exit code 4" in found["FailureReason"]
    assert ask(aws, "steady")["model"] == "steady"


def test_names_are_taken_once_and_unknown_ones_are_told(aws: Aws, bucket: str) -> None:
    prepare(aws, bucket, "twice")

    with pytest.raises(ClientError, match="already existing Model"):
        prepare(aws, bucket, "twice")
    with pytest.raises(ClientError, match="Could not find"):
        aws.sagemaker.create_endpoint(EndpointName="nothing", EndpointConfigName="missing")
    with pytest.raises(ClientError, match="Could not find"):
        aws.sagemaker.describe_endpoint(EndpointName="nothing")
