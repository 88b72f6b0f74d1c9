"""The pieces that our state machines are written in: JSONPath states that never wait for ever.

Every Task made here has a timeout, capped retries with full jitter, and a Catch; a checker in the tests walks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from millrace.errors import RETRYABLE

State = dict[str, Any]

OURS = [error.__name__ for error in RETRYABLE]
"""Step Functions compares exact class names, so the list is made from the classes."""
LAMBDA_HICCUPS = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Runtime.ExitError",
]
"""What Lambda itself may stumble over. Every step may be repeated, so a process that died is tried again too."""
DISCARDED = "$.discarded"
"""Where answers go that nobody reads. Not null: the CDK drops nulls from its JSON, and the state would be replaced."""
SAGEMAKER_BUSY, SAGEMAKER_HICCUP = "SageMaker.ThrottlingException", "SageMaker.AmazonSageMakerException"
"""Of the call that starts a job, never of the job: a failed job is States.TaskFailed and is not run again.

The second says anything, also that the job was started by a call whose reply was lost: that is no better for waiting.
"""

NVME = ("ml.*d.*", "ml.g4dn.*", "ml.g5.*", "ml.g6*", "ml.p3dn.*", "ml.p4*", "ml.p5*", "ml.p6*", "ml.trn*")
"""Families of instances with local disks. Source: AWS, "Instance store" of the EC2 instance types."""


def retry(errors: Iterable[str], *, attempts: int = 4, interval_s: int = 2, limit_s: int = 60) -> list[State]:
    return [
        {
            "ErrorEquals": list(errors),
            "IntervalSeconds": interval_s,
            "BackoffRate": 2,
            "MaxDelaySeconds": limit_s,
            "MaxAttempts": attempts,
            "JitterStrategy": "FULL",
        }
    ]


def caught(then: str) -> list[State]:
    return [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": then}]


def following(then: str | None) -> State:
    return {"End": True} if then is None else {"Next": then}


def invoke(
    function: str,
    payload: State,
    *,
    then: str | None,
    otherwise: str,
    timeout_s: int,
    result: str | None = None,
    keep: dict[str, str] | None = None,
    patience: list[State] | None = None,
) -> State:
    """Call a function. `keep`: name -> path in its answer; what is not named is dropped. `result`: where that goes.

    `patience`: retries of errors that want longer than the others; they are looked at first.
    """
    kept: State = {"ResultPath": DISCARDED}
    if result is not None:
        kept = {"ResultPath": result, "ResultSelector": {f"{name}.$": path for name, path in (keep or {}).items()}}
    slow = patience or []
    named = {name for one in slow for name in one["ErrorEquals"]}
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function, "Payload": payload},
        "TimeoutSeconds": timeout_s,
        "Retry": [*slow, *retry(name for name in OURS + LAMBDA_HICCUPS if name not in named)],
        "Catch": caught(otherwise),
        **kept,
        **following(then),
    }


def train(
    plan: str, *, role: str, key: str, nvme: bool, then: str, otherwise: str, timeout_s: int, result: str
) -> State:
    """Run one container as a SageMaker training job to its end. `plan`: path of its part of the plan.

    No network, everything encrypted, the result stored uncompressed. `nvme`: the instance has disks of its own, which
    encrypt themselves, and SageMaker refuses a key for them. Only the status is kept: later states find the result by
    its name, and the description of a job may outgrow the 256 KB that a state may hold.
    """
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "Parameters": {
            "TrainingJobName.$": f"{plan}.name",
            "RoleArn": role,
            "AlgorithmSpecification": {"TrainingImage.$": f"{plan}.image", "TrainingInputMode": "File"},
            "HyperParameters.$": f"{plan}.hyperparameters",
            "InputDataConfig.$": f"{plan}.channels",
            "OutputDataConfig": {"S3OutputPath.$": f"{plan}.output_path", "KmsKeyId": key, "CompressionType": "NONE"},
            "CheckpointConfig": {"S3Uri.$": f"{plan}.checkpoint_path"},
            "ResourceConfig": {
                "InstanceCount": 1,
                "InstanceType.$": f"{plan}.instance_type",
                "VolumeSizeInGB.$": f"{plan}.volume_gb",
                **({} if nvme else {"VolumeKmsKeyId": key}),
            },
            "EnableManagedSpotTraining.$": f"{plan}.spot",
            "StoppingCondition.$": f"{plan}.stopping",
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": True,
        },
        "TimeoutSeconds": timeout_s,
        "Retry": [
            *retry([SAGEMAKER_BUSY], interval_s=15, limit_s=300),
            *retry([SAGEMAKER_HICCUP], attempts=3, interval_s=5),
        ],
        "Catch": caught(otherwise),
        "ResultSelector": {name + ".$": "$." + name for name in ("TrainingJobStatus", "SecondaryStatus")},
        "ResultPath": result,
        "Next": then,
    }


def distribute(
    states: dict[str, State],
    *,
    start: str,
    bucket: str,
    key: str,
    item: State,
    concurrency: int,
    then: str,
    otherwise: str,
) -> State:
    """Run `states` once for each element of a JSON list in S3, as executions of their own; their answers are dropped.

    One that fails for good fails all: what it should have left is needed. `bucket`, `key`: paths in the input.
    """
    return {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": bucket, "Key.$": key},
        },
        "ItemSelector": item,
        "MaxConcurrency": concurrency,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": start,
            "States": states,
        },
        "ResultPath": DISCARDED,
        "Catch": caught(otherwise),
        "Next": then,
    }


def on_nvme(plan: str, then: str) -> State:
    """The rule that an instance has disks of its own."""
    path = f"{plan}.instance_type"
    return {"Or": [{"Variable": path, "StringMatches": pattern} for pattern in NVME], "Next": then}


def choose(rules: Iterable[State], default: str) -> State:
    return {"Type": "Choice", "Choices": list(rules), "Default": default}


def equals(path: str, value: str | bool, then: str) -> State:
    kind = "BooleanEquals" if isinstance(value, bool) else "StringEquals"
    return {"Variable": path, kind: value, "Next": then}
