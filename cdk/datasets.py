"""Image datasets: the function that takes an archive in, the state machine that drives it, and what begins it."""

from __future__ import annotations

from typing import Any

from aws_cdk import ArnFormat, Duration, Stack, aws_events, aws_events_targets, aws_logs, aws_stepfunctions
from constructs import Construct
from millrace import settings
from millrace.contract import ARCHIVE, DATASETS_FOLDER, TENANTS_PREFIX

from .code import Functions
from .corpus import Corpus
from .stage import Stage
from .unpack_machine import STEP_TIMEOUT_S, Parts, definition

ARCHIVES = f"{TENANTS_PREFIX}*/{DATASETS_FOLDER}/*/{ARCHIVE}"


def machine_arn(stack: Stack, stage: Stage) -> str:
    """Known before the machine is made: what it calls starts it."""
    return stack.format_arn(
        service="states",
        resource="stateMachine",
        resource_name=f"{stage.prefix}-unpack",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


class Datasets(Construct):
    """A new archive in the data bucket -> function -> state machine -> the same function, step by step."""

    def __init__(
        self, scope: Construct, id: str, functions: Functions, stage: Stage, corpus: Corpus, unpack: settings.Unpack
    ) -> None:
        super().__init__(scope, id)
        self.function = functions.function(
            self,
            "unpack",
            "functions.unpack.handler.handler",
            unpack,
            timeout_s=STEP_TIMEOUT_S,
            memory_mb=1769,  # one whole processor: decoding is all that takes time
            temporary_mb=4096,  # the central directory, and the index of two million images
            asynchronous=True,
        )
        self.log = aws_logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/vendedlogs/states/{stage.prefix}-unpack",
            retention=stage.log_retention,
            removal_policy=stage.removal,
            encryption_key=functions.key,
        )
        self.machine = self._machine(stage)
        self._listen(corpus)

    def _machine(self, stage: Stage) -> aws_stepfunctions.StateMachine:
        parts = Parts(unpack=self.function.function_arn, concurrency=stage.unpack_concurrency)
        body: dict[str, Any] = definition(parts)
        return aws_stepfunctions.StateMachine(
            self,
            "Machine",
            state_machine_name=f"{stage.prefix}-unpack",
            definition_body=aws_stepfunctions.DefinitionBody.from_string(Stack.of(self).to_json_string(body)),
            timeout=Duration.seconds(parts.limit_s),
            tracing_enabled=True,
            logs=aws_stepfunctions.LogOptions(
                destination=self.log, level=aws_stepfunctions.LogLevel.ALL, include_execution_data=False
            ),
        )

    def _listen(self, corpus: Corpus) -> None:
        """Nothing that the intake writes has an archive's name, so that no answer of it calls it again."""
        aws_events.Rule(
            self,
            "Archived",
            description="An archive of images is whole",
            event_pattern=aws_events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [corpus.data.bucket_name]}, "object": {"key": [{"wildcard": ARCHIVES}]}},
            ),
            targets=[
                aws_events_targets.LambdaFunction(
                    self.function,
                    dead_letter_queue=None,
                    retry_attempts=20,
                    max_event_age=Duration.hours(6),
                )
            ],
        )
