"""Our own rules find what they exist for, in templates made to break them."""

from __future__ import annotations

from typing import Any

import pytest

from cdk import rules


def template(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": {"It": {"Type": kind, "Properties": properties}}}


def machine(**parameters: Any) -> dict[str, Any]:
    start = '{"States": {"Train": {"Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "Parameters": '
    body = {"Fn::Join": ["", [start, str(parameters).replace("'", '"').replace("True", "true"), "}}}"]]}
    return template("AWS::StepFunctions::StateMachine", {"DefinitionString": body})


def policy(effect: str, action: Any, resource: Any) -> dict[str, Any]:
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return template("AWS::IAM::Policy", {"PolicyDocument": {"Statement": [statement]}})


BROKEN = {
    "a job with a network": (machine(RoleArn="r"), "Train starts a container with a network"),
    "a model with a network": (template("AWS::SageMaker::Model", {}), "is not cut off from the network"),
    "every action": (policy("Allow", "*", "arn:x"), "allows *"),
    "every action of a service": (policy("Allow", ["s3:GetObject", "s3:Get*"], "arn:x"), "allows s3:Get*"),
    "every bucket": (policy("Allow", "s3:GetObject", "*"), "allows s3:GetObject on *"),
}
SOUND = {
    "an isolated job": machine(EnableNetworkIsolation=True),
    "an isolated model": template("AWS::SageMaker::Model", {"EnableNetworkIsolation": True}),
    "one action on one thing": policy("Allow", "s3:GetObject", "arn:x"),
    "an action without resources": policy("Allow", "xray:PutTraceSegments", "*"),
    "a prohibition": policy("Deny", "s3:*", "*"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_template_is_found(name: str) -> None:
    broken, told = BROKEN[name]

    assert [finding.what for finding in rules.findings(broken)] == [told]


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_template_is_left_alone(name: str) -> None:
    assert rules.findings(SOUND[name]) == []
