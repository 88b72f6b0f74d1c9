"""What SageMaker refuses before a training job exists. Source: the SageMaker API reference, CreateTrainingJob."""

from __future__ import annotations

import re

from . import objects
from .errors import invalid
from .store import Record

NAME = re.compile(r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")
REASON_CHARS = 1024
REQUIRED = ("AlgorithmSpecification", "RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")


def check(request: Record) -> None:
    """ValidationException with what is wrong."""
    missing = [field for field in ("TrainingJobName", *REQUIRED) if not request.get(field)]
    if missing:
        raise invalid(f"{len(missing)} validation errors detected: missing {', '.join(missing)}.")
    if not NAME.match(request["TrainingJobName"]):
        raise invalid(f"TrainingJobName {request['TrainingJobName']!r} fails to satisfy {NAME.pattern}.")
    if not request["AlgorithmSpecification"].get("TrainingImage"):
        raise invalid("AlgorithmSpecification needs a TrainingImage.")
    if not re.match(r"^arn:aws[a-z-]*:iam::\d{12}:role/", request["RoleArn"]):
        raise invalid(f"RoleArn {request['RoleArn']!r} is not a role's ARN.")
    odd = [k for k, v in request.get("HyperParameters", {}).items() if not isinstance(v, str) or len(v) > 2500]
    if odd:
        raise invalid(f"HyperParameters are text of at most 2,500 characters; not so: {', '.join(odd)}.")
    objects.split(request["OutputDataConfig"].get("S3OutputPath", ""))
    for channel in request.get("InputDataConfig", []):
        objects.split(channel.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""))
    _check_spot(request)


def _check_spot(request: Record) -> None:
    stopping = request["StoppingCondition"]
    longest, wait = stopping.get("MaxRuntimeInSeconds", 86_400), stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if wait is None:
            raise invalid("MaxWaitTimeInSeconds above 0 is required when EnableManagedSpotTraining is true.")
        if wait < longest:
            raise invalid(f"MaxWaitTimeInSeconds of {wait} is below MaxRuntimeInSeconds of {longest}.")
    elif wait is not None:
        raise invalid("MaxWaitTimeInSeconds is for jobs with EnableManagedSpotTraining.")
