"""Training: the state machines `train` and `search`, their steps, and the log of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import ArnFormat, Duration, Stack, aws_iam, aws_lambda, aws_logs, aws_stepfunctions
from constructs import Construct
from millrace import settings

from . import bundle, search_machine, train_machine
from .code import Functions
from .machine import STEP_TIMEOUT_S, Steps
from .stage import Stage

SHARED = ("plan", "gate", "register", "deploy", "conclude")
"""Steps of both machines."""
SEARCHING = ("propose", "judge")
"""Steps of `search` alone; who proposes calls the providers, so it runs on the asset that has their SDKs."""


def machine_arn(stack: Stack, stage: Stage, name: str = "train") -> str:
    """Known before the machine is made: its steps may start it again, and it calls its steps."""
    return stack.format_arn(
        service="states",
        resource="stateMachine",
        resource_name=f"{stage.prefix}-{name}",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


class Training(Construct):
    """`steps`: the functions by name. `machine`, `search`: what the threshold, a person and the sweeper start."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        functions: Functions,
        stage: Stage,
        steps: settings.Steps,
        propose: settings.Propose,
        container_role: aws_iam.IRole,
    ) -> None:
        super().__init__(scope, id)
        self.stage, self.key = stage, functions.key
        roomy: dict[str, Any] = {"timeout_s": 300, "memory_mb": 1024, "temporary_mb": 1024}
        # A snapshot is read, rated and compared by one processor, and waits on its disk.
        larger: dict[str, Any] = {"timeout_s": STEP_TIMEOUT_S, "memory_mb": 1769, "temporary_mb": 10_240}
        self.steps: Mapping[str, aws_lambda.Function] = {
            **{
                name: functions.function(
                    self, name, f"functions.steps.{name}.handler", steps, **(larger if name == "plan" else roomy)
                )
                for name in (*SHARED, "judge")
            },
            "propose": functions.function(
                self, "propose", "functions.propose.handler.handler", propose, kind=bundle.GATEWAY, **roomy
            ),
        }
        shared: dict[str, Any] = {
            **{name: self.steps[name].function_arn for name in SHARED},
            "role": container_role.role_arn,
            "key": functions.key.key_arn,
            "job_limit_s": stage.job_limit_s,
            "deploy_poll_s": stage.deploy_poll_s,
            "deploy_polls": stage.deploy_polls,
        }
        more: dict[str, Any] = {name: self.steps[name].function_arn for name in SEARCHING} | {
            "max_rounds": stage.search_rounds
        }
        self.machine = self._machine("train", train_machine.definition(Steps(**shared)))
        self.search = self._machine("search", search_machine.definition(search_machine.Parts(**shared, **more)))

    def _machine(self, name: str, body: dict[str, Any]) -> aws_stepfunctions.StateMachine:
        log = aws_logs.LogGroup(
            self,
            "Log" if name == "train" else f"{name.title()}Log",
            log_group_name=f"/aws/vendedlogs/states/{self.stage.prefix}-{name}",
            retention=self.stage.log_retention,
            removal_policy=self.stage.removal,
            encryption_key=self.key,
        )
        return aws_stepfunctions.StateMachine(
            self,
            "Machine" if name == "train" else name.title(),
            state_machine_name=f"{self.stage.prefix}-{name}",
            definition_body=aws_stepfunctions.DefinitionBody.from_string(Stack.of(self).to_json_string(body)),
            timeout=Duration.seconds(body["TimeoutSeconds"]),
            tracing_enabled=True,
            # The data of an execution is references, but an error may quote a user's text.
            logs=aws_stepfunctions.LogOptions(
                destination=log, level=aws_stepfunctions.LogLevel.ALL, include_execution_data=False
            ),
        )
