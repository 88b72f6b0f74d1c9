"""`states:::sagemaker:createTrainingJob` with `.sync`, as Step Functions does it.

A job that ends otherwise than Completed fails the task with `States.TaskFailed` and the job's description as cause.
A task that times out, or whose execution is stopped, stops its job. Here too: what a state may hand on, 256 KB.
"""

from __future__ import annotations

import contextvars
import http.client
import json
import time
from typing import Any

RESOURCE = "arn:aws:states:::sagemaker:createTrainingJob"
POLL_S = 0.5
MAX_STATE_BYTES = 256 * 1024
_task: contextvars.ContextVar[tuple[dict[str, Any], float | None]] = contextvars.ContextVar("task")
"""The execution that the running task belongs to, and the task's own limit in seconds."""


def install(port: int) -> None:
    from ministack.services import stepfunctions

    def run(resource: str, request: dict[str, Any]) -> dict[str, Any]:
        return _create(stepfunctions._ExecutionError, port, resource, request)

    inner = stepfunctions._execute_task

    def execute_task(state: dict[str, Any], raw: Any, execution: dict[str, Any], ctx: dict[str, Any]) -> Any:
        _task.set((execution, state.get("TimeoutSeconds")))
        output, following = inner(state, raw, execution, ctx)
        size = len(json.dumps(output))
        if size > MAX_STATE_BYTES:  # AWS ends the execution: no Catch sees this
            said = f"The state's output of {size} bytes exceeds the maximum of {MAX_STATE_BYTES}."
            raise stepfunctions._ExecutionError("States.DataLimitExceeded", said)
        return output, following

    stepfunctions._SERVICE_DISPATCH[RESOURCE] = run
    stepfunctions._execute_task = execute_task


def _create(failure: Any, port: int, resource: str, request: dict[str, Any]) -> dict[str, Any]:
    execution, limit_s = _task.get(({}, None))
    began = time.monotonic()
    status, reply = call(port, "CreateTrainingJob", request)
    if status != 200:
        code = str(reply.get("__type", "InternalFailure"))
        cause = f"{reply.get('message', '')} (Service: AmazonSageMaker; Status Code: {status}; Error Code: {code})"
        raise failure("SageMaker.AmazonSageMakerException", cause)
    if not resource.endswith(".sync"):
        return reply
    name = {"TrainingJobName": request["TrainingJobName"]}
    while True:
        status, job = call(port, "DescribeTrainingJob", name)
        if status == 200 and job["TrainingJobStatus"] == "Completed":
            return _milliseconds(job)
        if status == 400 or (status == 200 and job["TrainingJobStatus"] in ("Failed", "Stopped")):
            raise failure("States.TaskFailed", json.dumps(_milliseconds(job)))
        late = limit_s is not None and time.monotonic() - began > limit_s
        if late or execution.get("status", "RUNNING") != "RUNNING":
            call(port, "StopTrainingJob", name)
            raise failure("States.Timeout" if late else "States.TaskFailed", "The training job was stopped.")
        time.sleep(POLL_S)


def call(port: int, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """(status, reply) of one call of SageMaker's JSON protocol; 503 while the server is away."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    try:
        connection.request("POST", "/", json.dumps(request), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    except (OSError, http.client.HTTPException) as error:
        return 503, {"__type": "ServiceUnavailable", "message": str(error)}
    finally:
        connection.close()


def _milliseconds(job: dict[str, Any]) -> dict[str, Any]:
    """Step Functions gives times as milliseconds since 1970, SageMaker itself as seconds."""
    return {k: int(v * 1000) if k.endswith("Time") and isinstance(v, int | float) else v for k, v in job.items()}
