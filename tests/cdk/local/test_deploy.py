"""What the twin leaves out of the stack, and that it knows everything else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cdk.local.deploy import SKIPPED, Assembly, DeployFailed, deploy, runnable
from cdk.local.settings import REPO, Twin

from .conftest import Aws

KNOWN = (
    "import json; from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as known;"
    "print(json.dumps(sorted(known)))"
)


@pytest.fixture(scope="session")
def known_to_the_engine() -> set[str]:
    engine = REPO / ".millrace/engine/bin/python"
    return set(json.loads(subprocess.run([engine, "-c", KNOWN], check=True, capture_output=True).stdout))


def types_of(assembly: Path) -> set[str]:
    return {resource["Type"] for resource in Assembly(assembly).template()["Resources"].values()}


def test_every_type_of_the_real_stack_is_made_by_the_engine_or_skipped_for_a_reason(
    assemblies: dict[str, Path], known_to_the_engine: set[str]
) -> None:
    wanted = types_of(assemblies["real"])

    assert {kind for kind in wanted if kind not in known_to_the_engine | set(SKIPPED)} == set()
    assert wanted & set(SKIPPED) == {"AWS::Budgets::Budget"}
    assert all(reason.endswith(".") for reason in SKIPPED.values())


def test_nothing_is_skipped_that_the_engine_could_make(known_to_the_engine: set[str]) -> None:
    assert not set(SKIPPED) & known_to_the_engine


def test_what_is_skipped_goes_with_everything_that_names_it() -> None:
    template: dict[str, Any] = {
        "Resources": {
            "Gone": {"Type": "AWS::Budgets::Budget", "Properties": {}},
            "Kept": {
                "Type": "AWS::SNS::Topic",
                "DependsOn": ["Gone", "Other"],
                "Properties": {
                    "TopicName": {"Ref": "Gone"},
                    "Tags": [{"Ref": "Gone"}, {"Ref": "Other"}],
                    "Fifo": False,
                },
            },
            "Other": {"Type": "AWS::SQS::Queue", "DependsOn": "Gone"},
        },
        "Outputs": {"A": {"Value": {"Fn::GetAtt": ["Gone", "Arn"]}}, "B": {"Value": {"Ref": "Other"}}},
    }

    left = runnable(template)

    assert left["Resources"] == {
        "Kept": {
            "Type": "AWS::SNS::Topic",
            "DependsOn": ["Other"],
            "Properties": {"Tags": [{"Ref": "Other"}], "Fifo": False},
        },
        "Other": {"Type": "AWS::SQS::Queue"},
    }
    assert left["Outputs"] == {"B": {"Value": {"Ref": "Other"}}}


def test_an_image_is_named_after_the_folder_of_its_dockerfile(tmp_path: Path) -> None:
    def asset(directory: str, tag: str, **more: str) -> dict[str, Any]:
        return {"source": {"directory": directory, **more}, "destinations": {"here": {"imageTag": tag}}}

    images = {
        "one": asset("asset.abc", "tag-one", dockerFile="training_containers/lora/Dockerfile"),
        "two": asset(str(REPO / "training_containers/gguf"), "tag-two"),
    }
    (tmp_path / "stack.template.json").write_text("{}")
    (tmp_path / "stack.assets.json").write_text(json.dumps({"dockerImages": images}))

    assert Assembly(tmp_path).images() == {"tag-one": "lora", "tag-two": "gguf"}


def test_a_stack_that_fails_is_said_with_its_first_reason_and_leaves_nothing(
    twin: Twin, aws: Aws, tmp_path: Path
) -> None:
    resources = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
        "Odd": {"Type": "AWS::Nothing::AtAll", "DependsOn": "Role"},
    }
    (tmp_path / "odd.template.json").write_text(json.dumps({"Resources": resources}))
    (tmp_path / "odd.assets.json").write_text("{}")

    with pytest.raises(DeployFailed, match="AtAll"):
        deploy(twin, Assembly(tmp_path))


def test_the_small_stack_stands_without_its_budget(aws: Aws, deployed: dict[str, str]) -> None:
    made = {
        r["ResourceType"] for r in aws.cloudformation.list_stack_resources(StackName="small")["StackResourceSummaries"]
    }

    assert "AWS::Budgets::Budget" not in made
    assert {"AWS::CloudWatch::Alarm", "AWS::DynamoDB::GlobalTable", "AWS::ApiGatewayV2::Authorizer"} <= made
    table = aws.dynamodb.describe_table(TableName=deployed["TheTable"])["Table"]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by_time"]
    ttl = aws.dynamodb.describe_time_to_live(TableName=deployed["TheTable"])["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires_at"
