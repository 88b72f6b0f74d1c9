"""Training jobs that really run, over the wire that boto3 speaks."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cdk.local.embedded.training import call

from .conftest import Aws, alive, ended, job_request, lines_of, until


def start(aws: Aws, bucket: str, name: str, behave: str, **more: Any) -> None:
    aws.sagemaker.create_training_job(**job_request(bucket, name, behave, **more))


def manifest(aws: Aws, bucket: str, name: str) -> dict[str, Any]:
    body = aws.s3.get_object(Bucket=bucket, Key=f"out/{name}/output/model/manifest.json")["Body"].read()
    found: dict[str, Any] = json.loads(body)
    return found


def pids(aws: Aws, name: str) -> list[int]:
    """The process ids that a hanging container told."""
    said = until(lambda: [line for line in lines_of(aws, name) if line.startswith("pids")], f"a line of {name}")
    return [int(word) for word in said[0].split()[1:]]


def test_a_job_gets_its_channels_and_values_and_leaves_its_result_uncompressed(aws: Aws, bucket: str) -> None:
    aws.s3.put_object(Bucket=bucket, Key="in/train/a/rows.jsonl", Body=b"row")
    aws.s3.put_object(Bucket=bucket, Key="in/one.csv", Body=b"one")
    channels = [
        {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}
        for name, uri in (("train", f"s3://{bucket}/in/train"), ("test", f"s3://{bucket}/in/one.csv"))
    ]

    start(aws, bucket, "whole", "complete", InputDataConfig=channels, values={"rank": 16}, Environment={"HINT": "x"})
    job = ended(aws, "whole")

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{bucket}/out/whole/output/model/"
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    told = manifest(aws, bucket, "whole")
    assert told["inputs"] == {"input/data/train/a/rows.jsonl": "row", "input/data/test/one.csv": "one"}
    assert told["values"] == {"behave": "complete", "rank": 16}
    assert told["env"]["HINT"] == "x" and told["env"]["TRAINING_JOB_NAME"] == "whole"
    report = aws.s3.get_object(Bucket=bucket, Key="out/whole/output/data/report.txt")["Body"].read()
    assert report == b"report"


def test_a_container_sees_no_key_and_no_setting_of_this_shell(
    aws: Aws, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "MILLRACE_TABLE"):
        monkeypatch.setenv(name, "leak")

    start(aws, bucket, "clean", "complete")
    ended(aws, "clean")

    environment = manifest(aws, bucket, "clean")["env"]
    assert "leak" not in environment.values()
    assert not [name for name in environment if name.startswith("AWS_")]


def test_a_compressed_result_is_one_archive_and_metrics_are_read_from_the_log(aws: Aws, bucket: str) -> None:
    request = job_request(bucket, "packed", "complete")
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": r"loss=([0-9.]+);"}]
    request["OutputDataConfig"] = {"S3OutputPath": f"s3://{bucket}/out/"}

    aws.sagemaker.create_training_job(**request)
    job = ended(aws, "packed")

    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{bucket}/out/packed/output/model.tar.gz"
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("loss", 0.25)]


def test_a_container_that_exits_1_fails_with_its_own_sentence(aws: Aws, bucket: str) -> None:
    start(aws, bucket, "refused", "fail")

    job = ended(aws, "refused")

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: The data has no column 'target'., exit code: 3"


def test_a_container_that_is_killed_fails_with_its_status(aws: Aws, bucket: str) -> None:
    start(aws, bucket, "shot", "crash")

    assert "exit code: 137" in ended(aws, "shot")["FailureReason"]


def test_no_data_under_a_channel_is_said(aws: Aws, bucket: str) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/nothing/"}}
    start(aws, bucket, "starved", "complete", InputDataConfig=[{"ChannelName": "train", "DataSource": source}])

    assert "No S3 objects found under S3 URL" in ended(aws, "starved")["FailureReason"]


def test_a_job_over_its_time_is_killed_with_what_it_started(aws: Aws, bucket: str) -> None:
    start(aws, bucket, "endless", "hang", StoppingCondition={"MaxRuntimeInSeconds": 1})
    processes = pids(aws, "endless")

    job = ended(aws, "endless")

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    until(lambda: not any(alive(pid) for pid in processes), "the end of its processes", 3)


def test_a_stopped_job_ends_though_it_ignores_the_signal(aws: Aws, bucket: str) -> None:
    start(aws, bucket, "stubborn", "stubborn")
    process = pids(aws, "stubborn")[0]

    began = time.monotonic()
    aws.sagemaker.stop_training_job(TrainingJobName="stubborn")
    assert aws.sagemaker.describe_training_job(TrainingJobName="stubborn")["TrainingJobStatus"] == "Stopping"
    job = ended(aws, "stubborn")

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert time.monotonic() - began < 5 and not alive(process)


def test_a_stopped_job_may_save_what_it_has(aws: Aws, bucket: str) -> None:
    start(aws, bucket, "polite", "polite")
    pids(aws, "polite")

    aws.sagemaker.stop_training_job(TrainingJobName="polite")
    ended(aws, "polite")

    assert aws.s3.get_object(Bucket=bucket, Key="out/polite/output/model/partial.bin")["Body"].read() == b"partial"
    with pytest.raises(ClientError, match="ValidationException"):
        aws.sagemaker.stop_training_job(TrainingJobName="polite")


def test_checkpoints_are_kept_while_it_runs_and_come_back_in_the_next_job(aws: Aws, bucket: str) -> None:
    kept = {"CheckpointConfig": {"S3Uri": f"s3://{bucket}/checkpoints/one"}}
    start(aws, bucket, "first-half", "hang", **kept)

    def saved() -> Any:
        found = aws.s3.list_objects_v2(Bucket=bucket, Prefix="checkpoints/one/").get("Contents")
        return found and aws.sagemaker.describe_training_job(TrainingJobName="first-half")["TrainingJobStatus"]

    assert until(saved, "the checkpoint") == "InProgress"
    aws.sagemaker.stop_training_job(TrainingJobName="first-half")
    ended(aws, "first-half")
    start(aws, bucket, "second-half", "complete", **kept)
    ended(aws, "second-half")

    assert manifest(aws, bucket, "second-half")["resumed"] == "half"


def _take_the_machine_away(aws: Aws, name: str) -> None:
    status, told = call(aws.twin.aws_port, "TwinInterruptTrainingJob", {"TrainingJobName": name})
    assert status == 200, told


def test_a_spot_machine_that_is_taken_away_is_followed_by_one_that_goes_on_from_the_checkpoint(
    aws: Aws, bucket: str
) -> None:
    stopping = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120}
    kept = {"CheckpointConfig": {"S3Uri": f"s3://{bucket}/checkpoints/spot"}}
    start(aws, bucket, "spotty", "resuming", EnableManagedSpotTraining=True, StoppingCondition=stopping, **kept)
    processes = pids(aws, "spotty")

    _take_the_machine_away(aws, "spotty")
    job = ended(aws, "spotty")

    assert job["TrainingJobStatus"] == "Completed" and manifest(aws, bucket, "spotty")["resumed"] == "half"
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert steps[steps.index("Interrupted") :][:4] == ["Interrupted", "Restarting", "Downloading", "Training"]
    assert not any(alive(pid) for pid in processes)


def test_a_machine_that_fails_under_an_ordinary_job_fails_it_with_a_fault_of_theirs(aws: Aws, bucket: str) -> None:
    start(aws, bucket, "unlucky", "hang")
    pids(aws, "unlucky")

    _take_the_machine_away(aws, "unlucky")

    assert ended(aws, "unlucky")["FailureReason"].startswith("InternalServerError: ")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"EnableManagedSpotTraining": True}, "is required when"),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 30},
            },
            "is below",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90}}, "is for jobs with"),
    ],
)
def test_spot_settings_that_sagemaker_refuses_are_refused_here(
    aws: Aws, bucket: str, change: dict[str, Any], word: str
) -> None:
    with pytest.raises(ClientError, match=word):
        start(aws, bucket, "wrong-spot", "complete", **change)


def test_an_isolated_container_reaches_itself_and_nobody_else(aws: Aws, bucket: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]

        start(aws, bucket, "apart", "call_out", values={"port": port}, EnableNetworkIsolation=True)
        start(aws, bucket, "open", "call_out", values={"port": port})
        ended(aws, "apart")
        ended(aws, "open")

    assert manifest(aws, bucket, "open")["reached"] == "reached"
    said = "".join(lines_of(aws, "apart"))
    assert manifest(aws, bucket, "apart")["reached"] == "ConnectionRefusedError" or "no network namespace" in said


def test_of_many_who_start_one_name_one_wins(aws: Aws, bucket: str) -> None:
    gate = threading.Barrier(12)
    results: list[str] = []

    def attempt() -> None:
        gate.wait()
        try:
            start(aws, bucket, "raced", "complete")
            results.append("won")
        except ClientError as error:
            results.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == ["ResourceInUse"] * 11 + ["won"]
    assert ended(aws, "raced")["TrainingJobStatus"] == "Completed"


def test_jobs_beyond_the_slots_wait_and_a_waiting_one_can_be_stopped(aws: Aws, bucket: str) -> None:
    for name in ("slot-a", "slot-b"):
        start(aws, bucket, name, "hang")
    for name in ("slot-a", "slot-b"):
        pids(aws, name)
    start(aws, bucket, "slot-c", "complete")
    start(aws, bucket, "slot-d", "complete")

    def status(name: str) -> str:
        return str(aws.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"])

    until(lambda: status("slot-c") == status("slot-d") == "Pending", "two waiting jobs")
    aws.sagemaker.stop_training_job(TrainingJobName="slot-d")
    assert ended(aws, "slot-d")["TrainingJobStatus"] == "Stopped"
    for name in ("slot-a", "slot-b"):
        aws.sagemaker.stop_training_job(TrainingJobName=name)

    assert ended(aws, "slot-c")["TrainingJobStatus"] == "Completed"


def test_jobs_are_listed_newest_first_in_pages(aws: Aws, bucket: str) -> None:
    for number in range(3):
        start(aws, bucket, f"listed-{number}", "complete")

    first = aws.sagemaker.list_training_jobs(NameContains="listed-", MaxResults=2)
    rest = aws.sagemaker.list_training_jobs(NameContains="listed-", NextToken=first["NextToken"])

    found = [job["TrainingJobName"] for job in first["TrainingJobSummaries"] + rest["TrainingJobSummaries"]]
    assert found == ["listed-2", "listed-1", "listed-0"] and "NextToken" not in rest
    for number in range(3):
        ended(aws, f"listed-{number}")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"TrainingJobName": "no_underscores"}, "TrainingJobName"),
        ({"RoleArn": "arn:aws:s3:::not-a-role-at-all"}, "RoleArn"),
        ({"OutputDataConfig": {"S3OutputPath": "https://somewhere/else"}}, "S3 URI"),
        ({"AlgorithmSpecification": {"TrainingImage": "repo:unknown", "TrainingInputMode": "File"}}, "no image"),
        ({"HyperParameters": {"long": "x" * 2501}}, "2,500"),
    ],
)
def test_a_request_that_sagemaker_refuses_is_refused_here(
    aws: Aws, bucket: str, change: dict[str, Any], word: str
) -> None:
    with pytest.raises(ClientError, match=word) as refused:
        aws.sagemaker.create_training_job(**{**job_request(bucket, "odd", "complete"), **change})

    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_an_unknown_job_or_operation_is_an_error_of_its_own(aws: Aws) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        aws.sagemaker.describe_training_job(TrainingJobName="never")
    with pytest.raises(ClientError, match="UnknownOperationException"):
        aws.sagemaker.list_apps()
