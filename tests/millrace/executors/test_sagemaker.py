"""A container as a SageMaker training job, held against the shapes of the service's own model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from millrace.errors import MillraceError, Throttled
from millrace.executors import Run
from millrace.executors.sagemaker import Remote, SageMaker

NAMED = {"TrainingJobName": "millrace-j1"}
ENDED = "The request was rejected because the training job is in status Completed"
ABSENT = "Requested resource not found."


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client("sagemaker", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as made:
        yield made


def running(stub: Stubber) -> Remote:
    executor = SageMaker("role", "s3://bucket/jobs", stub.client, None, None)
    return Remote(executor, Run(NAMED["TrainingJobName"], "lora", Path("/nowhere")), poll_s=0.0)


def described(stub: Stubber, status: str) -> None:
    told = {
        "TrainingJobName": "millrace-j1",
        "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/millrace-j1",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/jobs/out"},
        "TrainingJobStatus": status,
        "SecondaryStatus": status if status != "InProgress" else "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "CreationTime": 0,
    }
    stub.add_response("describe_training_job", told, NAMED)


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped", "Stopping"])
def test_stopping_what_ends_already_is_a_success(stub: Stubber, status: str) -> None:
    stub.add_client_error("stop_training_job", "ValidationException", ENDED, 400, expected_params=NAMED)
    described(stub, status)

    running(stub).kill()

    stub.assert_no_pending_responses()


def test_stopping_what_never_was_is_a_success(stub: Stubber) -> None:
    stub.add_client_error("stop_training_job", "ValidationException", ABSENT, 400)
    stub.add_client_error("describe_training_job", "ValidationException", ABSENT, 400)

    running(stub).kill()

    stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        ("AccessDeniedException", MillraceError, "Stopping the training job millrace-j1 was refused with AccessDenied"),
        ("ThrottlingException", Throttled, "Stopping the training job millrace-j1 was throttled"),
    ],
)
def test_a_job_that_goes_on_though_it_was_to_stop_is_said(
    stub: Stubber, code: str, kind: type[MillraceError], sentence: str
) -> None:
    """J8: it costs money until somebody stops it."""
    stub.add_client_error("stop_training_job", code, "Not you.", 400)
    described(stub, "InProgress")

    with pytest.raises(kind, match=sentence):
        running(stub).stop(10)


def test_one_that_may_not_be_asked_for_either_is_said(stub: Stubber) -> None:
    stub.add_client_error("stop_training_job", "AccessDeniedException", "Not you.", 400)
    stub.add_client_error("describe_training_job", "AccessDeniedException", "Not you.", 400)

    with pytest.raises(MillraceError, match="refused with AccessDeniedException: Not you"):
        running(stub).kill()
