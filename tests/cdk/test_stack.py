"""What every stage's template must hold, whatever else changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from millrace import rewrites, settings
from millrace.artifacts import EXPIRES, KEPT_DAYS
from millrace.contract import ARCHIVE, DROP_PREFIX
from millrace.rewriting import SLICE_S

from cdk import rules
from cdk.app import build
from cdk.checks import attach
from cdk.stage import STAGES

from .conftest import Assembly

SETTINGS = {
    "gateway": settings.Gateway,
    "stream": settings.Gateway,
    "authorize": settings.Storage,
    "ingest": settings.Ingest,
    "rewrite": settings.Rewrite,
    "index": settings.Storage,
    "export": settings.Storage,
    "monitor": settings.Monitor,
    "unpack": settings.Unpack,
    "progress": settings.Training,
    **dict.fromkeys(("plan", "gate", "register", "deploy", "conclude", "judge"), settings.Steps),
    "propose": settings.Propose,
}


def test_no_rule_of_ours_is_broken(stack: Assembly) -> None:
    assert rules.findings(stack.template) == []


def test_a_finding_that_nothing_explains_stops_the_synthesis(tmp_path: Path) -> None:
    from aws_cdk import aws_sqs

    app, millrace = build(STAGES["dev"], tmp_path)
    attach(app, millrace)
    aws_sqs.Queue(millrace, "Open")

    with pytest.raises(RuntimeError, match="AwsSolutions-SQS3"):
        app.synth()


def test_the_template_passes_cfn_lint(prod: Assembly) -> None:
    """W3005: the CDK writes dependencies down that a reference implies already."""
    lint = [str(Path(sys.executable).parent / "cfn-lint"), "--region", "us-east-1", "--ignore-checks", "W3005"]
    template = prod.folder / "millrace-prod.template.json"

    result = subprocess.run([*lint, "--template", template], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, "")


def test_every_function_finds_its_settings_in_the_environment(stack: Assembly) -> None:
    found = stack.functions()
    assert found.keys() == SETTINGS.keys()

    for name, kind in SETTINGS.items():
        environment = {k: rules.text_of(v) for k, v in found[name]["Environment"]["Variables"].items()}
        assert hash(kind.from_env(environment)), "what a function builds from its settings is kept by them"


def test_the_steps_know_an_image_for_every_container(stack: Assembly) -> None:
    environment = stack.functions()["plan"]["Environment"]["Variables"]

    images = json.loads(rules.text_of(environment["MILLRACE_IMAGES"]))

    assert images.keys() == {"lora", "gguf", "serve", "cnn_search"}
    tags = {d["imageTag"] for i in stack.assets["dockerImages"].values() for d in i["destinations"].values()}
    assert {uri.rsplit(":", 1)[1] for uri in images.values()} == tags


def test_an_image_is_built_from_little_more_than_its_sources(stack: Assembly) -> None:
    for image in stack.assets["dockerImages"].values():
        context = stack.folder / image["source"]["directory"]
        held = {path.name for path in context.iterdir()}

        assert (context / image["source"]["dockerFile"]).is_file()
        assert held == {"training_containers", "shared", "requirements"}
        assert not [p for p in context.rglob("*") if p.name == "__pycache__" or p.suffix in (".safetensors", ".gguf")]


def test_every_function_has_the_defaults(stack: Assembly) -> None:
    for name, function in stack.functions().items():
        assert function["Timeout"] <= (900 if name in ("unpack", "export", "plan") else 300), name
        assert function["TracingConfig"] == {"Mode": "Active"}, name
        assert function["KmsKeyArn"] and function["LoggingConfig"]["LogGroup"], name
        assert function["Architectures"] == ["x86_64"] and function["Runtime"] == "python3.13", name


def test_every_log_is_encrypted_and_forgotten_in_time(stack: Assembly) -> None:
    for name, log in stack.of_type("AWS::Logs::LogGroup").items():
        assert log["Properties"]["RetentionInDays"] <= 365 and log["Properties"]["KmsKeyId"], name


def test_functions_that_nobody_waits_for_have_dead_letters(stack: Assembly) -> None:
    dead = {name for name, function in stack.functions().items() if "DeadLetterConfig" in function}

    assert dead == {"monitor", "progress", "unpack"}


def test_a_dropped_object_reaches_the_queue_and_only_failed_records_come_back(stack: Assembly) -> None:
    rule = _rule(stack, DROP_PREFIX)
    name = rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]
    queue, mapping = stack.template["Resources"][name]["Properties"], _mapping(stack, name)

    assert rule["EventPattern"]["detail"]["object"]["key"] == [{"prefix": DROP_PREFIX}]
    assert rule["Targets"][0]["DeadLetterConfig"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2
    assert queue["VisibilityTimeout"] >= 6 * stack.functions()["ingest"]["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5


def _mapping(stack: Assembly, queue: str) -> dict[str, Any]:
    mappings = (m["Properties"] for m in stack.of_type("AWS::Lambda::EventSourceMapping").values())
    (found,) = [m for m in mappings if m["EventSourceArn"]["Fn::GetAtt"][0] == queue]
    return found


def test_a_rewrite_that_failed_every_try_is_told_so_before_its_message_is_put_aside(stack: Assembly) -> None:
    function = stack.functions()["rewrite"]
    name = function["Environment"]["Variables"]["MILLRACE_REWRITE_QUEUE"]["Ref"]
    queue, mapping = stack.template["Resources"][name]["Properties"], _mapping(stack, name)

    assert stack.functions()["gateway"]["Environment"]["Variables"]["MILLRACE_REWRITE_QUEUE"] == {"Ref": name}
    assert mapping["BatchSize"] == 1 and mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == rewrites.TRIES + 1
    assert queue["VisibilityTimeout"] >= 2 * function["Timeout"] > 2 * (SLICE_S + function_deadline(function))


def function_deadline(function: dict[str, Any]) -> float:
    return float(rules.text_of(function["Environment"]["Variables"]["MILLRACE_SECTION_S"]))


def test_nothing_of_ours_is_written_where_it_would_call_us_again(stack: Assembly) -> None:
    """Else a report would be collected as a drop, and its report too."""
    announced = [n for n, b in stack.of_type("AWS::S3::Bucket").items() if _announces(b["Properties"])]
    drops, data = sorted(announced, key=lambda name: "Drops" not in name)
    archives = _rule(stack, ARCHIVE)["EventPattern"]["detail"]

    for policy in stack.of_type("AWS::IAM::Policy").values():
        for statement in rules.statements(policy):
            if "s3:PutObject" in rules.listed(statement["Action"]):
                assert drops not in json.dumps(statement["Resource"])
    # In the data bucket one name is watched, and only an upload bears it.
    assert archives["object"]["key"] == [{"wildcard": f"tenants/*/datasets/*/{ARCHIVE}"}]
    assert archives["bucket"]["name"] == [{"Ref": data}]


def _rule(stack: Assembly, key: str) -> dict[str, Any]:
    """The rule whose pattern names this key."""
    found = [r["Properties"] for r in stack.of_type("AWS::Events::Rule").values()]
    (rule,) = [rule for rule in found if key in json.dumps(rule.get("EventPattern"))]
    return rule


def _announces(bucket: dict[str, Any]) -> bool:
    return bool(bucket.get("NotificationConfiguration", {}).get("EventBridgeConfiguration"))


def test_buckets_are_versioned_encrypted_private_and_speak_tls_only(stack: Assembly) -> None:
    buckets = stack.of_type("AWS::S3::Bucket")
    policies = {p["Properties"]["Bucket"]["Ref"]: p for p in stack.of_type("AWS::S3::BucketPolicy").values()}
    assert len(buckets) == 3

    for name, bucket in buckets.items():
        properties = bucket["Properties"]
        denied = [s for s in rules.statements(policies[name]) if s["Effect"] == "Deny"]
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert properties["BucketEncryption"] and properties["LifecycleConfiguration"]
        assert all(properties["PublicAccessBlockConfiguration"].values())
        assert any(s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for s in denied)


def test_what_bears_a_tag_of_so_many_days_is_removed_then(stack: Assembly) -> None:
    (data,) = [b for name, b in stack.of_type("AWS::S3::Bucket").items() if name.startswith("CorpusData")]
    told = {
        (tag["Key"], tag["Value"]): rule["ExpirationInDays"]
        for rule in data["Properties"]["LifecycleConfiguration"]["Rules"]
        for tag in rule.get("TagFilters", [])
    }
    assert told == {(EXPIRES, str(days)): days for days in KEPT_DAYS}


def test_there_is_one_table_with_the_key_grammar(stack: Assembly) -> None:
    table = stack.only("AWS::DynamoDB::GlobalTable")["Properties"]
    (index,) = table["GlobalSecondaryIndexes"]

    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert index["IndexName"] == "by_time" and index["Projection"] == {"ProjectionType": "ALL"}
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["list_pk", "list_sk"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["Replicas"][0]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["Replicas"][0]["SSESpecification"]["KMSMasterKeyId"]


def test_prod_keeps_what_a_laptop_gives_up(assembly: Callable[[str], Assembly]) -> None:
    keeping = ("AWS::DynamoDB::GlobalTable", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret")
    policies = {
        stage: {r["DeletionPolicy"] for kind in keeping for r in assembly(stage).of_type(kind).values()}
        for stage in ("prod", "local")
    }

    assert policies == {"prod": {"Retain"}, "local": {"Delete"}}
    table = assembly("prod").only("AWS::DynamoDB::GlobalTable")["Properties"]
    assert table["Replicas"][0]["DeletionProtectionEnabled"] is True


def test_only_the_page_its_description_and_health_are_public(stack: Assembly) -> None:
    routes = [r["Properties"] for r in stack.of_type("AWS::ApiGatewayV2::Route").values()]
    public = {r["RouteKey"] for r in routes if r["AuthorizationType"] == "NONE"}
    guarded = {r["RouteKey"] for r in routes if r["AuthorizationType"] == "CUSTOM"}

    assert public == {
        "GET /",
        "GET /openapi.json",
        "GET /docs",
        "GET /console/{path+}",
        "GET /api/system/health",
    }
    assert guarded == {"$default"}


def test_the_authorizer_is_asked_each_time_and_answers_simply(stack: Assembly) -> None:
    authorizer = stack.only("AWS::ApiGatewayV2::Authorizer")["Properties"]

    assert authorizer["AuthorizerType"] == "REQUEST" and authorizer["EnableSimpleResponses"] is True
    assert authorizer["AuthorizerResultTtlInSeconds"] == 0 and not authorizer.get("IdentitySource")
    assert authorizer["AuthorizerPayloadFormatVersion"] == "2.0"


def test_the_api_is_throttled_logged_and_closed_to_other_origins(stack: Assembly) -> None:
    served = stack.only("AWS::ApiGatewayV2::Stage")["Properties"]

    assert served["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0
    assert "$context.requestId" in served["AccessLogSettings"]["Format"]
    assert "CorsConfiguration" not in stack.only("AWS::ApiGatewayV2::Api")["Properties"]


def test_the_stream_has_an_address_that_streams_and_the_adapter_that_starts_its_server(stack: Assembly) -> None:
    url = stack.only("AWS::Lambda::Url")["Properties"]
    function = stack.functions()["stream"]
    environment = function["Environment"]["Variables"]
    (layer,) = map(rules.text_of, function["Layers"])

    assert (url["InvokeMode"], url["AuthType"]) == ("RESPONSE_STREAM", "NONE")
    assert layer.startswith("arn:<AWS::Partition>:lambda:<AWS::Region>:753240598075:layer:LambdaAdapterLayerX86:")
    assert environment["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
    assert environment["AWS_LWA_INVOKE_MODE"] == "response_stream"
    assert float(environment["MILLRACE_DEADLINE_S"]) < function["Timeout"]
    granted = {p["Properties"]["Action"] for p in stack.of_type("AWS::Lambda::Permission").values()}
    assert granted >= {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}, "both, since October 2025"


def test_every_alarm_tells_somebody(stack: Assembly) -> None:
    alarms = stack.of_type("AWS::CloudWatch::Alarm")

    watched = {alarm["Properties"].get("MetricName") for alarm in alarms.values()}

    assert all(alarm["Properties"]["AlarmActions"] for alarm in alarms.values())
    assert watched >= {"Errors", "Throttles", "ExecutionsFailed", "ExecutionsTimedOut", "5xx"}
    assert watched >= {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}


def test_the_stages_differ_in_values_only(assembly: Callable[[str], Assembly]) -> None:
    kinds = {
        stage: sorted(r["Type"] for r in assembly(stage).template["Resources"].values())
        for stage in ("local", "dev", "prod")
    }

    assert kinds["local"] == kinds["dev"] == kinds["prod"]


def test_the_stack_says_where_everything_is(stack: Assembly) -> None:
    told = {"ApiUrl", "TableName", "DataBucket", "DropBucket", "DropPrefix", "TrainMachineArn", "ProviderSecret"}

    assert told <= stack.template["Outputs"].keys()
    assert stack.template["Outputs"]["DropPrefix"]["Value"] == DROP_PREFIX


def test_the_template_names_no_account_and_no_region(stack: Assembly) -> None:
    text = json.dumps(stack.template)

    assert "us-east-1" not in text and "000000000000" not in text
