"""One way to make a Lambda function, with every default that a function of ours has."""

from __future__ import annotations

from aws_cdk import Duration, Size, aws_iam, aws_kms, aws_lambda, aws_logs, aws_sqs
from constructs import Construct
from millrace.settings import Settings

from . import bundle
from .stage import Stage


class Functions(Construct):
    """Makes every function of the stack: `function()` fills in what they share."""

    def __init__(self, scope: Construct, id: str, stage: Stage, key: aws_kms.IKey) -> None:
        super().__init__(scope, id)
        self.stage = stage
        self.key = key
        self.made: dict[str, aws_lambda.Function] = {}
        self.failed_events = aws_sqs.Queue(
            self,
            "FailedEvents",
            encryption=aws_sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        self._archives = {kind.name: bundle.build(kind, stage) for kind in bundle.KINDS}

    def function(
        self,
        scope: Construct,
        name: str,
        handler: str,
        settings: Settings,
        *,
        kind: bundle.Kind = bundle.FUNCTIONS,
        timeout_s: int = 60,
        memory_mb: int = 512,
        temporary_mb: int = 512,
        asynchronous: bool = False,
    ) -> aws_lambda.Function:
        """`asynchronous`: nobody waits for the answer, so an event that fails for good goes to the dead letters."""
        archive, content = self._archives[kind.name]
        made = aws_lambda.Function(
            scope,
            "".join(part.title() for part in name.split("-")),
            function_name=f"{self.stage.prefix}-{name}",
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            architecture=aws_lambda.Architecture.X86_64,
            handler=handler,
            code=aws_lambda.Code.from_asset(str(archive), asset_hash=content),
            environment=self._environment(name, settings),
            environment_encryption=self.key,
            timeout=Duration.seconds(timeout_s),
            memory_size=memory_mb,
            ephemeral_storage_size=Size.mebibytes(temporary_mb),
            tracing=aws_lambda.Tracing.ACTIVE,
            log_group=self._log_group(scope, name),
            role=self._role(scope, name),
            reserved_concurrent_executions=self.stage.reserved_concurrency.get(name),
            dead_letter_queue=self.failed_events if asynchronous else None,
            retry_attempts=2 if asynchronous else None,
            max_event_age=Duration.hours(1) if asynchronous else None,
        )
        self.made[name] = made
        return made

    def _environment(self, name: str, settings: Settings) -> dict[str, str]:
        shared = {"POWERTOOLS_SERVICE_NAME": name, "POWERTOOLS_METRICS_NAMESPACE": "Millrace"}
        return shared | settings.to_env()

    def _role(self, scope: Construct, name: str) -> aws_iam.Role:
        """Its own role and log group's rights, instead of AWS's managed policy, which may write every log."""
        return aws_iam.Role(
            scope,
            f"{name}-role",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"What the function {name} of Millrace may do",
        )

    def _log_group(self, scope: Construct, name: str) -> aws_logs.LogGroup:
        return aws_logs.LogGroup(
            scope,
            f"{name}-log",
            log_group_name=f"/aws/lambda/{self.stage.prefix}-{name}",
            retention=self.stage.log_retention,
            removal_policy=self.stage.removal,
            encryption_key=self.key,
        )
