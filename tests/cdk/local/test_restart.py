"""kill -9 loses nothing and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cdk.local.deploy import Assembly, deploy
from cdk.local.engine import save_now
from cdk.local.sagemaker.container import MARK
from cdk.local.twin import Running

from .conftest import Aws, Detached, alive, ended, job_request, lines_of, until
from .test_sagemaker_endpoints import ask, prepare, settled


def holding(variable: str) -> list[int]:
    """Live processes with this in their environment."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if variable.encode() in file.read().split(b"\0") and alive(pid):
                    found.append(pid)
        except OSError:
            continue
    return found


def marked(state: str) -> list[int]:
    """Containers of a twin and what they started."""
    return holding(f"{MARK}={state}")


def engines_of(state: str) -> list[int]:
    """The engine of a twin and its workers."""
    return holding(f"STATE_DIR={state}/aws")


def write_until_it_dies(aws: Aws, table: str, acknowledged: list[str], stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        name = f"{threading.get_ident()}-{number}"
        try:
            aws.dynamodb.put_item(TableName=table, Item={"pk": {"S": name}, "n": {"N": str(number)}})
            aws.dynamodb.update_item(
                TableName=table,
                Key={"pk": {"S": "counter"}},
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        except (ClientError, BotoCoreError):
            return
        acknowledged.append(name)
        number += 1


def test_every_acknowledged_write_is_there_after_kill_9(detached: Callable[..., Detached]) -> None:
    held = detached()
    aws = Aws(held.twin)
    aws.dynamodb.create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    aws.s3.create_bucket(Bucket="kept")
    save_now(held.twin.aws_port)
    acknowledged: list[str] = []
    for _ in range(2):
        stop = threading.Event()
        writers = [
            threading.Thread(target=write_until_it_dies, args=(Aws(held.twin), "kept", acknowledged, stop))
            for _ in range(3)
        ]
        for writer in writers:
            writer.start()
        already = len(acknowledged)
        until(lambda n=already: len(acknowledged) > n + 60, "some writes")
        aws.s3.put_object(Bucket="kept", Key="last", Body=str(already).encode())
        held.kill()
        stop.set()
        for writer in writers:
            writer.join()
        held = detached(held.twin)
        aws = Aws(held.twin)
        assert aws.s3.get_object(Bucket="kept", Key="last")["Body"].read() == str(already).encode()

    pages = aws.dynamodb.get_paginator("scan").paginate(TableName="kept")
    there = {item["pk"]["S"]: item for page in pages for item in page["Items"]}
    assert set(acknowledged) <= set(there)
    counted = int(there["counter"]["n"]["N"])
    assert len(acknowledged) <= counted <= len(acknowledged) + 6  # a write whose answer was lost may be in


def test_kill_9_in_the_middle_of_a_training_leaves_no_process_and_ends_the_job(
    detached: Callable[..., Detached],
) -> None:
    held = detached()
    aws = Aws(held.twin)
    aws.s3.create_bucket(Bucket="containers")
    save_now(held.twin.aws_port)
    prepare(aws, "containers", "lasting")
    aws.sagemaker.create_endpoint(EndpointName="lasting", EndpointConfigName="lasting")
    settled(aws, "lasting")
    aws.sagemaker.create_training_job(**job_request("containers", "interrupted", "hang"))
    until(lambda: lines_of(aws, "interrupted"), "its first line")
    assert len(marked(str(held.twin.state))) >= 5
    engines = engines_of(str(held.twin.state))
    assert engines

    held.kill()
    until(lambda: not marked(str(held.twin.state)), "the end of every container", 6)
    until(lambda: not any(alive(pid) for pid in engines), "the end of the engine", 6)
    held = detached(held.twin)

    aws = Aws(held.twin)
    job = ended(aws, "interrupted")
    assert job["TrainingJobStatus"] == "Failed" and "restarted while this job ran" in job["FailureReason"]
    assert not (held.twin.state / "jobs/interrupted").exists()
    assert settled(aws, "lasting")["EndpointStatus"] == "InService"
    assert ask(aws, "lasting")["model"] == "lasting"


def test_stopping_the_twin_in_the_middle_of_a_training_takes_seconds_and_leaves_nothing(
    detached: Callable[..., Detached],
) -> None:
    held = detached()
    aws = Aws(held.twin)
    aws.s3.create_bucket(Bucket="containers")
    aws.sagemaker.create_training_job(**job_request("containers", "cut", "stubborn"))
    until(lambda: lines_of(aws, "cut"), "its first line")

    began = time.monotonic()
    held.process.terminate()

    assert held.process.wait(15) == 0 and time.monotonic() - began < 8
    assert not marked(str(held.twin.state))
    record = held.twin.state / "sagemaker/jobs/cut.json"
    assert json.loads(record.read_text())["TrainingJobStatus"] in ("Failed", "InProgress")  # the next start ends it


def test_a_dead_engine_comes_back_with_its_state_and_its_jobs_end(
    running: Running, aws: Aws, deployed: dict[str, str], bucket: str
) -> None:
    aws.sagemaker.create_training_job(**job_request(bucket, "orphaned", "hang"))
    until(lambda: lines_of(aws, "orphaned"), "its first line")
    aws.dynamodb.put_item(TableName=deployed["TheTable"], Item={"pk": {"S": "kept"}, "sk": {"S": "body"}})
    aws.s3.put_object(Bucket=deployed["TheBucket"], Key="drop/demo/just-before.csv", Body=b"x")
    assert running.engine is not None
    dead = running.engine.process.pid

    os.kill(dead, signal.SIGKILL)

    def back() -> Any:
        return running.engine is not None and running.engine.process.pid != dead and running.engine.alive()

    until(back, "the new engine")
    found = until(lambda: _item(aws, deployed["TheTable"], "kept"), "the kept item")
    assert found["pk"] == {"S": "kept"}
    until(lambda: _item(aws, deployed["TheTable"], "collected#drop/demo/just-before.csv"), "the drop just before")
    assert "restarted" in ended(aws, "orphaned")["FailureReason"]
    given = json.dumps({"name": "after", "bad": False, "hyperparameters": {"behave": '"complete"'}})
    aws.stepfunctions.start_execution(stateMachineArn=deployed["TheMachine"], name="after", input=given)
    until(lambda: _completed(aws, "after"), "a job after the restart")


def _item(aws: Aws, table: str, pk: str) -> Any:
    try:
        return aws.dynamodb.get_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": "body"}}).get("Item")
    except (ClientError, BotoCoreError):
        return None


def _completed(aws: Aws, name: str) -> bool:
    try:
        found = aws.sagemaker.describe_training_job(TrainingJobName=name)
    except ClientError:
        return False
    return bool(found["TrainingJobStatus"] == "Completed")


def test_kill_9_while_an_execution_waits_for_its_job_leaves_no_engine(
    detached: Callable[..., Detached], assemblies: dict[str, Path]
) -> None:
    held = detached()
    outputs = deploy(held.twin, Assembly(assemblies["small"]))
    aws = Aws(held.twin)
    given = json.dumps({"name": "waiting", "bad": False, "hyperparameters": {"behave": '"hang"'}})
    aws.stepfunctions.start_execution(stateMachineArn=outputs["TheMachine"], name="waiting", input=given)
    until(lambda: lines_of(aws, "waiting"), "its first line")
    engines = engines_of(str(held.twin.state))

    held.kill()

    until(lambda: not any(alive(pid) for pid in engines), "the end of the engine", 6)
    until(lambda: not marked(str(held.twin.state)), "the end of every container", 6)
