"""The small stack on the engine: what the real one relies on, end to end."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cdk.local.deploy import Assembly, deploy
from cdk.local.twin import Running

from .conftest import Aws, ended, lines_of, until


def item(aws: Aws, table: str, pk: str, sk: str = "body") -> Any:
    return aws.dynamodb.get_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": sk}}).get("Item")


def execution(aws: Aws, machine: str, given: dict[str, Any]) -> str:
    started = aws.stepfunctions.start_execution(stateMachineArn=machine, name=given["name"], input=json.dumps(given))
    return str(started["executionArn"])


def outcome(aws: Aws, arn: str) -> dict[str, Any]:
    def over() -> Any:
        found = aws.stepfunctions.describe_execution(executionArn=arn)
        return found if found["status"] != "RUNNING" else None

    found = until(over, f"the end of {arn}")
    return {"status": found["status"], **json.loads(found.get("output", "{}"))}


def ask(running: Running, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", running.twin.api_port, timeout=40)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] == b"{" else text
    finally:
        connection.close()


def test_a_state_machine_retries_by_class_name_and_waits_for_a_real_training_job(
    aws: Aws, deployed: dict[str, str]
) -> None:
    given = {"name": "machine-one", "bad": False, "hyperparameters": {"behave": '"complete"'}}

    ended_as = outcome(aws, execution(aws, deployed["TheMachine"], given))

    assert ended_as["status"] == "SUCCEEDED" and ended_as["train"]["status"] == "Completed"
    assert ended_as["step"] == {"version": "1"} and ended_as["train"]["ended"] > 1e12
    assert item(aws, deployed["TheTable"], "step#machine-one", "count")["n"] == {"N": "3"}
    keys = aws.s3.list_objects_v2(Bucket=deployed["TheBucket"], Prefix="out/machine-one/")["Contents"]
    assert "out/machine-one/output/model/manifest.json" in [found["Key"] for found in keys]


def test_an_error_that_is_not_retried_is_caught_with_its_name_and_sentence(aws: Aws, deployed: dict[str, str]) -> None:
    ended_as = outcome(aws, execution(aws, deployed["TheMachine"], {"name": "machine-bad", "bad": True}))

    assert ended_as["error"]["Error"] == "ValueError"
    assert json.loads(ended_as["error"]["Cause"])["errorMessage"] == "a sentence about the value"


def test_a_state_that_hands_on_too_much_ends_the_execution_past_its_catch(aws: Aws, deployed: dict[str, str]) -> None:
    arn = execution(aws, deployed["TheMachine"], {"name": "machine-big", "bad": "big"})

    assert outcome(aws, arn)["status"] == "FAILED"
    assert aws.stepfunctions.describe_execution(executionArn=arn)["error"] == "States.DataLimitExceeded"


def test_many_requests_at_once_are_all_answered(running: Running, deployed: dict[str, str]) -> None:
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda number: ask(running, "GET", f"/open?n={number}"), range(24)))

    assert [(status, told["query"]) for status, told in answers] == [(200, f"n={number}") for number in range(24)]


def test_a_failed_job_fails_its_task_with_the_jobs_description(aws: Aws, deployed: dict[str, str]) -> None:
    given = {"name": "machine-fails", "bad": False, "hyperparameters": {"behave": '"fail"'}}

    ended_as = outcome(aws, execution(aws, deployed["TheMachine"], given))

    assert ended_as["error"]["Error"] == "States.TaskFailed"
    assert "no column 'target'" in json.loads(ended_as["error"]["Cause"])["FailureReason"]


def test_stopping_an_execution_stops_its_training_job(aws: Aws, deployed: dict[str, str]) -> None:
    given = {"name": "machine-stopped", "bad": False, "hyperparameters": {"behave": '"hang"'}}
    arn = execution(aws, deployed["TheMachine"], given)
    until(lambda: lines_of(aws, "machine-stopped"), "the job's first line")

    aws.stepfunctions.stop_execution(executionArn=arn)

    assert ended(aws, "machine-stopped")["TrainingJobStatus"] == "Stopped"


def test_progress_lines_reach_the_subscribed_function(aws: Aws, deployed: dict[str, str]) -> None:
    given = {"name": "machine-tells", "bad": False, "hyperparameters": {"behave": '"complete"'}}
    execution(aws, deployed["TheMachine"], given)

    told = until(lambda: item(aws, deployed["TheTable"], "progress#machine-tells"), "a progress item")

    assert json.loads(told["line"]["S"])["step"] == 1


def test_a_dropped_object_is_collected_once_and_a_failing_one_goes_to_the_dead_letters(
    aws: Aws, deployed: dict[str, str]
) -> None:
    for key in ("drop/demo/a b.csv", "drop/demo/once.csv", "drop/demo/poison.csv", "elsewhere/c.csv"):
        aws.s3.put_object(Bucket=deployed["TheBucket"], Key=key, Body=b"x")

    found = until(lambda: item(aws, deployed["TheTable"], "collected#drop/demo/a b.csv"), "the first drop")
    until(lambda: item(aws, deployed["TheTable"], "collected#drop/demo/once.csv"), "the drop that failed once")
    url = aws.sqs.get_queue_url(QueueName="small-dead")["QueueUrl"]
    dead = until(lambda: aws.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"), "the dead letter")

    assert found["version"]["S"]
    assert "poison" in dead[0]["Body"]
    assert item(aws, deployed["TheTable"], "seen#elsewhere/c.csv", "count") is None


def test_the_api_answers_with_who_called(running: Running, deployed: dict[str, str]) -> None:
    status, told = ask(running, "POST", "/some%20where?a=1&a=2", b'{"x":1}', content_type="application/json")

    assert status == 200
    assert (told["method"], told["path"], told["query"]) == ("POST", "/some where", "a=1&a=2")
    assert (told["body"], told["caller"]) == ('{"x":1}', {"tenant": "demo"})


def test_a_wrong_key_is_refused_and_an_open_route_asks_for_none(running: Running, deployed: dict[str, str]) -> None:
    assert ask(running, "GET", "/x", x_api_key="wrong") == (403, {"message": "Forbidden"})
    assert ask(running, "GET", "/open", x_api_key="wrong")[0] == 200


def test_a_function_sees_its_asset_and_boto3_and_none_of_our_settings(
    running: Running, deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, told = ask(running, "GET", "/open")

    assert [Path(p).parts[-4] for p in told["packages"]] == ["engine"]
    assert not {"PYTHONPATH", "OPENAI_API_KEY", "MILLRACE_HOME", "MILLRACE_SAGEMAKER_PORT"} & set(told["environment"])
    assert {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "TABLE"} <= set(told["environment"])
    assert str(running.twin.state / "aws/code") in told["file"]
    assert 0 < told["remaining_ms"] <= 20_000


def test_a_function_that_raises_stays_warm_and_its_log_has_the_traceback(
    running: Running, aws: Aws, deployed: dict[str, str]
) -> None:
    before = ask(running, "GET", "/open")[1]["pid"]

    status, said = ask(running, "GET", "/boom")

    assert (status, said) == (500, {"message": "Internal Server Error"})
    assert ask(running, "GET", "/open")[1]["pid"] == before
    events = aws.logs.filter_log_events(logGroupName="/aws/lambda/small-answer")["events"]
    assert any("RuntimeError: boom" in event["message"] for event in events)
    assert any("answering /boom" in event["message"] for event in events)


@pytest.mark.parametrize(("size", "kind"), [(10 * 1024 * 1024 + 1, "application/json"), (5_000_000, "image/png")])
def test_a_request_over_the_limit_is_413(running: Running, deployed: dict[str, str], size: int, kind: str) -> None:
    assert ask(running, "POST", "/x", b"x" * size, content_type=kind)[0] == 413


def test_a_reply_over_the_limit_of_lambda_is_an_error(running: Running, deployed: dict[str, str]) -> None:
    assert ask(running, "GET", "/big") == (500, {"message": "Internal Server Error"})


def test_an_answer_that_takes_too_long_is_503(
    running: Running, deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdk.local.front.TIMEOUT_S", 0.5)
    began = time.monotonic()

    assert ask(running, "GET", "/slow?s=2") == (503, {"message": "Service Unavailable"})
    assert time.monotonic() - began < 1.5


def test_deploying_again_changes_nothing_and_a_new_version_takes_effect(
    running: Running, aws: Aws, deployed: dict[str, str], assemblies: dict[str, Path], tmp_path: Path
) -> None:
    assert deploy(running.twin, Assembly(assemblies["small"])) == deployed

    next_version = shutil.copytree(assemblies["small"], tmp_path / "next")
    template = next_version / "small.template.json"
    template.write_text(template.read_text().replace('"VERSION": "1"', '"VERSION": "2"'))
    assert deploy(running.twin, Assembly(next_version)) == deployed

    payload = json.dumps({"name": "next", "bad": False}).encode()
    answers = [aws.lambda_.invoke(FunctionName="small-step", Payload=payload) for _ in range(3)]
    assert json.loads(answers[0]["Payload"].read())["errorType"] == "Throttled"
    assert json.loads(answers[2]["Payload"].read()) == {"name": "next", "version": "2"}
