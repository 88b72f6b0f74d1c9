"""Our own rules for a synthesized template, beside cdk-nag's: what its packs do not look at. Pure but for the adapter.

Every SageMaker job and model is cut off from the network, no statement allows an action by wildcard, and `*` as the
resource stands only where AWS knows no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsii
from aws_cdk import (
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
)

Template = Mapping[str, Any]

ANY_RESOURCE = {
    "dynamodb:ListStreams",
    "ecr:GetAuthorizationToken",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
}
"""Actions that AWS lets nobody narrow to a resource."""
ISOLATED = ("sagemaker:createTrainingJob", "sagemaker:createModel", "sagemaker:createProcessingJob")


@dataclass(frozen=True)
class Finding:
    rule: str
    resource: str
    """Logical id."""
    what: str


def findings(template: Template) -> list[Finding]:
    """Everything in a template that breaks a rule of ours."""
    return [
        Finding(rule, name, what)
        for rule, look in RULES.items()
        for name, resource in template["Resources"].items()
        for what in look(resource)
    ]


def text_of(value: Any) -> str:
    """A CloudFormation value as text, what is not known yet as <LogicalId.Attribute>."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(text_of(part) for part in parts)
    if isinstance(value, Mapping) and "Ref" in value:
        return f"<{value['Ref']}>"
    if isinstance(value, Mapping) and "Fn::GetAtt" in value:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    if isinstance(value, Mapping) and "Fn::Sub" in value:
        return str(value["Fn::Sub"])
    return json.dumps(value)


def definition_of(machine: Template) -> dict[str, Any]:
    """The states of an AWS::StepFunctions::StateMachine."""
    definition: dict[str, Any] = json.loads(text_of(machine["Properties"]["DefinitionString"]))
    return definition


def statements(resource: Template) -> Iterator[Mapping[str, Any]]:
    """Every policy statement of a resource, wherever it carries one."""
    waiting: list[Any] = [resource.get("Properties", {})]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, Mapping):
            if "Effect" in value and ("Action" in value or "NotAction" in value):
                yield value
            waiting += value.values()


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _network(resource: Template) -> Iterator[str]:
    if resource["Type"] in ("AWS::SageMaker::Model", "AWS::SageMaker::TrainingJob"):
        if resource["Properties"].get("EnableNetworkIsolation") is not True:
            yield "is not cut off from the network"
    if resource["Type"] == "AWS::StepFunctions::StateMachine":
        for name, state in definition_of(resource)["States"].items():
            starts = any(call in state.get("Resource", "") for call in ISOLATED)
            if starts and state.get("Parameters", {}).get("EnableNetworkIsolation") is not True:
                yield f"{name} starts a container with a network"


def _actions(resource: Template) -> Iterator[str]:
    for statement in statements(resource):
        if statement["Effect"] == "Allow":
            yield from (f"allows {action}" for action in listed(statement.get("Action", "*")) if "*" in action)


def _resources(resource: Template) -> Iterator[str]:
    """A key's own policy is left out: there `*` means that key."""
    for statement in statements(resource) if resource["Type"] != "AWS::KMS::Key" else ():
        if statement["Effect"] == "Allow" and "*" in listed(statement.get("Resource", [])):
            yield from (f"allows {action} on *" for action in listed(statement["Action"]) if action not in ANY_RESOURCE)


RULES: Mapping[str, Callable[[Template], Iterator[str]]] = {
    "Millrace-NetworkIsolation": _network,
    "Millrace-NoWildcardAction": _actions,
    "Millrace-NoWildcardResource": _resources,
}


@jsii.implements(IPolicyValidationPlugin)
class OwnRules:
    """Runs `findings` on every template at synthesis."""

    @property
    def name(self) -> str:
        return "Millrace"

    @property
    def rule_ids(self) -> list[str]:
        return list(RULES)

    @property
    def version(self) -> str:
        return "1.0.0"

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        found = [
            PolicyViolation(
                rule_name=finding.rule,
                description=finding.what,
                severity="error",
                violating_resources=[
                    PolicyViolatingResource(
                        resource_logical_id=finding.resource, template_path=path, locations=["Properties"]
                    )
                ],
            )
            for path in context.template_paths
            for finding in findings(_read(path))
        ]
        return PolicyValidationPluginReport(success=not found, violations=found)


def _read(path: str) -> Template:
    with open(path, encoding="utf-8") as file:
        template: Template = json.load(file)
    return template
