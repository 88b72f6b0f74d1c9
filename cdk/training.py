"""Training: the state machine, its steps, the images it runs and the role that a container runs under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import ArnFormat, Duration, Stack, aws_iam, aws_lambda, aws_logs, aws_stepfunctions
from constructs import Construct
from millrace import settings

from .code import Functions
from .stage import Stage
from .train_machine import STEP_TIMEOUT_S, Parts, definition

STEPS = ("plan", "gate", "register", "deploy", "conclude")


def machine_arn(stack: Stack, stage: Stage) -> str:
    """Known before the machine is made: its steps may start it again, and it calls its steps."""
    return stack.format_arn(
        service="states",
        resource="stateMachine",
        resource_name=f"{stage.prefix}-train",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


class Training(Construct):
    """`steps`: the functions by name. `machine`: what the threshold, a person and the sweeper start."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        functions: Functions,
        stage: Stage,
        steps: settings.Steps,
        container_role: aws_iam.IRole,
    ) -> None:
        super().__init__(scope, id)
        self.steps: Mapping[str, aws_lambda.Function] = {
            name: functions.function(
                self,
                name,
                f"functions.steps.{name}.handler",
                steps,
                timeout_s=STEP_TIMEOUT_S,
                memory_mb=1024,
                temporary_mb=1024,
            )
            for name in STEPS
        }
        self.log = aws_logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/vendedlogs/states/{stage.prefix}-train",
            retention=stage.log_retention,
            removal_policy=stage.removal,
            encryption_key=functions.key,
        )
        self.machine = self._machine(stage, functions, container_role)

    def _machine(
        self, stage: Stage, functions: Functions, container_role: aws_iam.IRole
    ) -> aws_stepfunctions.StateMachine:
        parts = Parts(
            **{name: function.function_arn for name, function in self.steps.items()},
            role=container_role.role_arn,
            key=functions.key.key_arn,
            job_limit_s=stage.job_limit_s,
            deploy_poll_s=stage.deploy_poll_s,
            deploy_polls=stage.deploy_polls,
        )
        body: dict[str, Any] = definition(parts)
        return aws_stepfunctions.StateMachine(
            self,
            "Machine",
            state_machine_name=f"{stage.prefix}-train",
            definition_body=aws_stepfunctions.DefinitionBody.from_string(Stack.of(self).to_json_string(body)),
            timeout=Duration.seconds(parts.limit_s),
            tracing_enabled=True,
            # The data of an execution is references, but an error may quote a user's text.
            logs=aws_stepfunctions.LogOptions(
                destination=self.log, level=aws_stepfunctions.LogLevel.ALL, include_execution_data=False
            ),
        )
