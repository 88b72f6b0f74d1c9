"""What is checked before a stack may leave, and every finding that stays, with its reason.

cdk-nag's AwsSolutions and HIPAA packs and our own rules run at synthesis; one finding without a reason here stops it.
"""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Acknowledgment, App, Stack, Validations
from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks
from constructs import IConstruct

from .rules import OwnRules
from .stack import Millrace

_UNDER_ONE_PREFIX = "Objects, index entries, runs and jobs get their names later; all lie under this prefix of ours."
_NO_NARROWER = "AWS lets these actions (X-Ray, log delivery, the registry's login) be narrowed to no resource."
_OF_THE_STACK = {
    "AwsSolutions-SMG4": "Keys of foreign providers; they are rotated there, and put in by a person.",
    "HIPAA.Security-SecretsManagerRotationEnabled": "Keys of providers are rotated there; a cursor guards no data.",
    "AwsSolutions-L1": "3.13: what every locked wheel is built and tested for.",
    "HIPAA.Security-IAMNoInlinePolicy": "One policy for one role, living and dying with it; none is shared.",
    "HIPAA.Security-LambdaInsideVPC": "No function here carries health data; those of the notes path stand apart.",
    "HIPAA.Security-S3BucketReplicationEnabled": "Versioned, and the table has point-in-time recovery; a second region "
    "is the owner's decision and cost.",
}


def attach(app: App, stack: Millrace) -> None:
    """Put the checks on an app: `app.synth()` then raises on a finding that nothing explains."""
    explain(stack)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True), HIPAASecurityChecks(app), OwnRules())


def explain(stack: Millrace) -> None:
    _acknowledge(stack, _OF_THE_STACK.items())
    _acknowledge(
        stack.corpus.access_log,
        [("HIPAA.Security-S3DefaultEncryptionKMS", "S3 delivers access logs only to a bucket under its own key.")],
    )
    _acknowledge(
        stack.gateway.api,
        [("AwsSolutions-APIG4", "The page, its files, the API's description and its health; the rest is authorized.")],
    )
    _acknowledge(
        stack.streaming,
        [
            (
                "HIPAA.Security-LambdaFunctionPublicAccessProhibited",
                "The address of streams: its own first deed is to look the caller's key up, as the authorizer does.",
            )
        ],
    )
    for function in stack.functions.made.values():
        _acknowledge(function, _of_function(stack, function.dead_letter_queue is not None))
    answering = (stack.gateway, stack.streaming, stack.humanizing)
    working = (stack.ingestion, stack.curation, stack.training, stack.datasets, stack.monitoring, stack.serving)
    for scope in (*answering, *working):
        _acknowledge(scope, [(f"AwsSolutions-IAM5[Resource::{name}]", why) for name, why in _wildcards(stack)])


def _of_function(stack: Millrace, asynchronous: bool) -> Iterable[tuple[str, str]]:
    if not stack.stage.reserved_concurrency:
        share = "A young account has ten in all; the API's throttle and the queue's concurrency bound it on this stage."
        yield "HIPAA.Security-LambdaConcurrency", share
    if not asynchronous:
        yield "HIPAA.Security-LambdaDLQ", "Called by who waits for the answer: the API, the queue or the state machine."


def _wildcards(stack: Millrace) -> Iterable[tuple[str, str]]:
    """(resource as cdk-nag writes it, reason)."""
    data, drops, table = (_arn(stack, each) for each in (stack.corpus.data, stack.corpus.drops, stack.corpus.table))
    prefix = stack.stage.prefix
    ours = [f"{data}/tenants/*", f"{data}/base/*", f"{drops}/drop/*", f"{table}/index/*"]
    ours += [_service("states", f"execution:{prefix}-{each}:*") for each in ("train", "search", "unpack*")]
    ours += [
        _service("sagemaker", f"{kind}/{prefix}-*") for kind in ("endpoint", "endpoint-config", "model", "training-job")
    ]
    ours += [_service("logs", f"log-group:/aws/sagemaker/Endpoints/{prefix}-*:*")]
    ours += [_service("logs", "log-group:/aws/sagemaker/TrainingJobs:*")]
    yield from ((name, _UNDER_ONE_PREFIX) for name in ours)
    yield "*", _NO_NARROWER


def _arn(stack: Stack, construct: IConstruct) -> str:
    child = construct.node.default_child
    return f"<{stack.resolve(stack.get_logical_id(child))}.Arn>"  # type: ignore[arg-type]


def _service(service: str, resource: str) -> str:
    return f"arn:<AWS::Partition>:{service}:<AWS::Region>:<AWS::AccountId>:{resource}"


def _acknowledge(scope: IConstruct, reasons: Iterable[tuple[str, str]]) -> None:
    Validations.of(scope).acknowledge(*(Acknowledgment(id=id, reason=reason) for id, reason in reasons))
