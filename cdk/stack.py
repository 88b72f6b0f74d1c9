"""The stack: wires the constructs and makes every grant, each action by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from aws_cdk import ArnFormat, CfnOutput, SecretValue, Stack, aws_iam, aws_lambda, aws_secretsmanager
from constructs import Construct
from millrace import settings
from millrace.contract import DROP_PREFIX, TENANTS_PREFIX

from .code import Functions
from .corpus import Corpus
from .curation import Curation
from .datasets import Datasets
from .datasets import machine_arn as unpack_machine_arn
from .gateway import Gateway
from .humanizing import Humanizing
from .images import Images
from .ingestion import Ingestion
from .monitoring import TRAINING_LOG, Monitoring
from .serving import Serving
from .stage import Stage
from .streaming import Streaming
from .training import SEARCHING, SHARED, Training, machine_arn

MACHINES = ("train", "search")
READ_ITEMS = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"]
WRITE_ITEMS = [
    "dynamodb:PutItem",
    "dynamodb:PartiQLInsert",  # a batch of new items: the one write in batches that is refused where a key is taken
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:ConditionCheckItem",
]
READ_OBJECTS = ["s3:GetObject", "s3:GetObjectVersion"]
WRITE_OBJECTS = ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"]
USE_KEY = ["kms:Decrypt", "kms:GenerateDataKey"]
BASE_PREFIX = "base/"
"""Base models, fetched once by `make base`."""


class Millrace(Stack):
    """Everything of one stage."""

    def __init__(self, scope: Construct, stage: Stage) -> None:
        super().__init__(
            scope,
            stage.prefix,
            description=f"Millrace, stage {stage.name}",
            termination_protection=stage.protect,
            analytics_reporting=False,
        )
        self.stage = stage
        self.corpus = Corpus(self, "Corpus", stage)
        self.functions = Functions(self, "Functions", stage, self.corpus.fixed_key)
        self.provider_keys = self._provider_keys()
        self.cursor_key = self._cursor_key()
        self.serving = Serving(self, "Serving", stage)
        self.images = Images(self, "Images")
        self.humanizing = Humanizing(self, "Humanizing", self.functions, stage, self.corpus, self._of_rewrite)
        self.gateway = Gateway(self, "Gateway", self.functions, stage, self._of_gateway(), self._of_storage())
        self.streaming = Streaming(self, "Streaming", self.functions, self._of_gateway())
        self.ingestion = Ingestion(self, "Ingestion", self.functions, stage, self.corpus, self._of_ingest)
        self.curation = Curation(self, "Curation", self.functions, stage, self.corpus, self._of_storage())
        self.training = Training(
            self, "Training", self.functions, stage, self._of_steps(), self._of_propose(), self.serving.role
        )
        self.datasets = Datasets(self, "Datasets", self.functions, stage, self.corpus, self._of_unpack())
        self.monitoring = Monitoring(self, "Monitoring", self.functions, stage, self.corpus, self._of_monitor())
        queues = (self.ingestion.watched, self.humanizing.watched)
        self.monitoring.watch(self.functions, self.gateway, queues, self.training)
        self._grant()
        self._tell()

    # --- settings -----------------------------------------------------------------------------------------------------
    def _where(self) -> dict[str, Any]:
        return {
            "stage": self.stage.name,
            "table": self.corpus.table.table_name,
            "data_bucket": self.corpus.data.bucket_name,
        }

    def _able_to_train(self) -> dict[str, Any]:
        return {
            **self._where(),
            "train_machine": machine_arn(self, self.stage),
            "train_threshold": self.stage.train_threshold,
            "max_jobs": self.stage.max_jobs,
            "base_model": self.stage.base_model,
            "instance_type": self.stage.instance_type,
        }

    def _able_to_unpack(self) -> dict[str, Any]:
        return {"unpack_machine": unpack_machine_arn(self, self.stage)}

    def _able_to_ask(self) -> dict[str, Any]:
        """Models of somebody else."""
        return {
            "provider_secret": self._provider_secret_name,
            "provider_urls": self.stage.provider_urls,
            "egress_allow": self.stage.egress_allow,
        }

    def _of_unpack(self) -> settings.Unpack:
        return settings.Unpack(**self._where(), **self._able_to_unpack())

    def _of_monitor(self) -> settings.Monitor:
        return settings.Monitor(**self._able_to_train(), **self._able_to_unpack())

    def _of_storage(self) -> settings.Storage:
        return settings.Storage(**self._where())

    def _of_ingest(self, queue_url: str) -> settings.Ingest:
        able = self._able_to_train() | self._able_to_unpack()
        return settings.Ingest(**able, drop_bucket=self.corpus.drops.bucket_name, ingest_queue=queue_url)

    def _of_gateway(self) -> settings.Gateway:
        return settings.Gateway(
            **self._able_to_train(),
            **self._able_to_unpack(),
            **self._able_to_ask(),
            drop_bucket=self.corpus.drops.bucket_name,
            cursor_secret=self._cursor_secret_name,
            rewrite_queue=self.humanizing.watched.queue.queue_url,
        )

    def _of_rewrite(self, queue_url: str) -> settings.Rewrite:
        return settings.Rewrite(**self._where(), **self._able_to_ask(), rewrite_queue=queue_url)

    def _of_steps(self) -> settings.Steps:
        return settings.Steps(
            **self._able_to_train(),
            images=self.images.uris,
            training_role=self.serving.role.role_arn,
            kms_key=self.corpus.key.key_arn,
        )

    def _of_propose(self) -> settings.Propose:
        return settings.Propose(**asdict(self._of_steps()), **self._able_to_ask())

    # --- secrets ------------------------------------------------------------------------------------------------------
    @property
    def _provider_secret_name(self) -> str:
        return f"millrace/{self.stage.name}/providers"

    def _provider_keys(self) -> aws_secretsmanager.Secret:
        """Made empty; a person puts {"OPENAI_API_KEY": "..."} in. An update of the stack leaves its value alone."""
        return aws_secretsmanager.Secret(
            self,
            "ProviderKeys",
            secret_name=self._provider_secret_name,
            description="Keys of the model providers, by the name of their environment variable",
            secret_string_value=SecretValue.unsafe_plain_text("{}"),
            encryption_key=self.corpus.fixed_key,
            removal_policy=self.stage.removal,
        )

    @property
    def _cursor_secret_name(self) -> str:
        return f"millrace/{self.stage.name}/cursors"

    def _cursor_key(self) -> aws_secretsmanager.Secret:
        """Random, made by the deploy: whoever does not know it can make no cursor. A new one only ends open pages."""
        return aws_secretsmanager.Secret(
            self,
            "CursorKey",
            secret_name=self._cursor_secret_name,
            description="What the cursors of lists are signed with",
            generate_secret_string=aws_secretsmanager.SecretStringGenerator(password_length=64),
            encryption_key=self.corpus.fixed_key,
            removal_policy=self.stage.removal,
        )

    # --- grants -------------------------------------------------------------------------------------------------------
    def _grant(self) -> None:
        corpus, steps = self.corpus, self.training.steps
        tenants = corpus.data.arn_for_objects(f"{TENANTS_PREFIX}*")
        base = corpus.data.arn_for_objects(f"{BASE_PREFIX}*")
        table = [corpus.table.table_arn, f"{corpus.table.table_arn}/index/*"]
        for name, function in self.functions.made.items():
            self._logs_of(name, function)
            _may(function, USE_KEY, [corpus.key.key_arn])
        _may(self.gateway.authorizer, READ_ITEMS, table)
        _may(self.monitoring.progress, READ_ITEMS + WRITE_ITEMS, table)
        stream, rewrite = self.streaming.function, self.humanizing.function
        curation = (self.curation.index, self.curation.export)
        answering = (self.gateway.function, stream, rewrite)
        workers = (self.datasets.function, self.ingestion.function, *curation, *steps.values())
        for function in (*answering, self.monitoring.monitor, *workers):
            _may(function, READ_ITEMS + WRITE_ITEMS, table)
            _may(function, READ_OBJECTS + WRITE_OBJECTS, [tenants])
            # Without it S3 says "forbidden" where an object is missing.
            _may(function, ["s3:ListBucket"], [corpus.data.bucket_arn])
        changes = [str(corpus.table.table_stream_arn)]
        for function in curation:
            _may(function, ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"], changes)
            _may(function, ["dynamodb:ListStreams"], ["*"])
            _may(function, ["sqs:SendMessage"], [self.functions.failed_events.queue_arn])
        _may(self.ingestion.function, READ_OBJECTS, [corpus.drops.arn_for_objects(f"{DROP_PREFIX}*")])
        _may(self.ingestion.function, ["s3:ListBucket"], [corpus.drops.bucket_arn])
        secrets = [self.provider_keys.secret_arn, self.cursor_key.secret_arn]
        _may(self.ingestion.function, ["sqs:SendMessage"], [self.ingestion.watched.queue.queue_arn])
        bus = self.format_arn(service="events", resource="event-bus", resource_name="default")
        for function in (self.ingestion.function, self.datasets.function, self.monitoring.monitor):
            _may(function, ["events:PutEvents"], [bus])
        # Whether a base model that is asked for is there.
        _may(self.gateway.function, READ_OBJECTS, [base])
        for function in (self.gateway.function, stream):
            _may(function, ["secretsmanager:GetSecretValue"], secrets)
        for function in (rewrite, steps["propose"]):
            _may(function, ["secretsmanager:GetSecretValue"], [self.provider_keys.secret_arn])
        for function in answering:
            _may(function, ["sqs:SendMessage"], [self.humanizing.watched.queue.queue_arn])
        self._grant_jobs()
        self._grant_datasets(tenants)
        self._grant_machine()
        self._grant_containers(tenants, base)

    def _logs_of(self, name: str, function: aws_lambda.Function) -> None:
        _may(function, ["logs:CreateLogStream", "logs:PutLogEvents"], [function.log_group.log_group_arn])

    def _grant_jobs(self) -> None:
        """Start, watch and stop: executions, training jobs and endpoints of this stage's names only."""
        machines = [machine_arn(self, self.stage, name) for name in MACHINES]
        arns = self.serving.arns
        executions = [
            self.format_arn(
                service="states",
                resource="execution",
                resource_name=f"{self.stage.prefix}-{name}:*",
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in MACHINES
        ]
        concludes = self.training.steps["conclude"]  # begins the next attempt, and who waits for the place
        for function in (self.gateway.function, self.ingestion.function, self.monitoring.monitor, concludes):
            _may(function, ["states:StartExecution"], machines)
        # Who ends a job stops what still works on it; `conclude` finds some that were cancelled meanwhile.
        for function in (self.gateway.function, self.monitoring.monitor, concludes):
            _may(function, ["states:DescribeExecution", "states:StopExecution"], executions)
            _may(function, ["sagemaker:StopTrainingJob"], self.serving.training_jobs())
        answering = (self.gateway.function, self.streaming.function, self.humanizing.function)
        for function in (*answering, self.training.steps["propose"]):
            _may(function, ["sagemaker:InvokeEndpoint"], arns("endpoint"))
        deploys = self.training.steps["deploy"]
        _may(deploys, ["sagemaker:CreateModel"], arns("model"))
        _may(deploys, ["sagemaker:CreateEndpointConfig"], arns("endpoint-config"))
        _may(deploys, ["sagemaker:CreateEndpoint"], arns("endpoint", "endpoint-config"))
        # The sweeper takes a version that will never serve from its endpoint.
        for function in (deploys, self.monitoring.monitor):
            _may(function, ["sagemaker:UpdateEndpoint"], arns("endpoint", "endpoint-config"))
            _may(function, ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], arns("endpoint"))
            _may(function, ["kms:DescribeKey"], [self.corpus.key.key_arn])
            self._may_create_grant(function)
        self._may_pass_role(deploys)

    def _grant_datasets(self, tenants: str) -> None:
        """Who takes archives in, and who removes them; the machine runs each slice as an execution of its own."""
        corpus, arn = self.corpus, unpack_machine_arn(self, self.stage)
        executions = self.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.stage.prefix}-unpack*:*",  # those of a Distributed Map bear its label as well
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        unpack, machine = self.datasets.function, self.datasets.machine
        for function in (self.gateway.function, self.ingestion.function, self.monitoring.monitor, unpack):
            _may(function, ["states:StartExecution"], [arn])
        for function in (self.gateway.function, self.monitoring.monitor):
            _may(function, ["states:DescribeExecution", "states:StopExecution"], [executions])
            _may(function, ["s3:ListMultipartUploadParts"], [tenants])
            _may(function, ["s3:ListBucketMultipartUploads"], [corpus.data.bucket_arn])
        for function in (self.gateway.function, self.monitoring.monitor, unpack):
            _may(function, ["s3:DeleteObject", "s3:DeleteObjectVersion"], [tenants])
            _may(function, ["s3:ListBucketVersions"], [corpus.data.bucket_arn])
        _may(machine, ["lambda:InvokeFunction"], [unpack.function_arn])
        _may(machine, ["states:StartExecution"], [arn])
        _may(machine, ["states:DescribeExecution", "states:StopExecution"], [executions])
        _may(machine, ["s3:GetObject"], [tenants])
        _may(machine, USE_KEY, [corpus.key.key_arn])

    def _grant_machine(self) -> None:
        key, steps = self.corpus.key.key_arn, self.training.steps
        for machine, called in ((self.training.machine, SHARED), (self.training.search, (*SHARED, *SEARCHING))):
            _may(machine, ["lambda:InvokeFunction"], [steps[name].function_arn for name in called])
            self._may_run_containers(machine, key)

    def _may_run_containers(self, machine: aws_iam.IGrantable, key: str) -> None:
        _may(
            machine,
            ["sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"],
            self.serving.training_jobs(),
        )
        # How Step Functions learns that a .sync job has ended; the rule's name is AWS's.
        rule = self.format_arn(
            service="events", resource="rule", resource_name="StepFunctionsGetEventsForSageMakerTrainingJobsRule"
        )
        _may(machine, ["events:PutTargets", "events:PutRule", "events:DescribeRule"], [rule])
        _may(machine, [*USE_KEY, "kms:DescribeKey"], [key])
        self._may_create_grant(machine)
        self._may_pass_role(machine)

    def _may_create_grant(self, grantee: aws_iam.IGrantable) -> None:
        """SageMaker uses the key on behalf of who starts a job, for its volumes and results."""
        for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        _may(grantee, ["kms:CreateGrant"], [self.corpus.key.key_arn], for_aws)

    def _may_pass_role(self, grantee: aws_iam.IGrantable) -> None:
        to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        _may(grantee, ["iam:PassRole"], [self.serving.role.role_arn], to_sagemaker)

    def _grant_containers(self, tenants: str, base: str) -> None:
        role, corpus = self.serving.role, self.corpus
        _may(role, READ_OBJECTS, [tenants, base])
        _may(role, WRITE_OBJECTS, [tenants])
        below = {"StringLike": {"s3:prefix": [f"{TENANTS_PREFIX}*", f"{BASE_PREFIX}*"]}}
        _may(role, ["s3:ListBucket"], [corpus.data.bucket_arn], below)
        _may(role, [*USE_KEY, "kms:Encrypt", "kms:DescribeKey"], [corpus.key.key_arn])
        self._may_create_grant(role)
        logs = [
            self.format_arn(service="logs", resource="log-group", resource_name=name, arn_format=_COLON)
            for name in (f"{TRAINING_LOG}:*", f"/aws/sagemaker/Endpoints/{self.stage.prefix}-*:*")
        ]
        write = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        _may(role, write, logs)
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        repositories = [asset.repository.repository_arn for asset in self.images.assets.values()]
        if repositories:
            _may(role, pull, repositories[:1])
            _may(role, ["ecr:GetAuthorizationToken"], ["*"])

    # --- outputs ------------------------------------------------------------------------------------------------------
    def _tell(self) -> None:
        corpus = self.corpus
        told = {
            "ApiUrl": self.gateway.api.api_endpoint,
            "ApiId": self.gateway.api.api_id,
            "StreamUrl": self.streaming.url.url,
            "StreamFunction": self.streaming.function.function_name,
            "TableName": corpus.table.table_name,
            "DataBucket": corpus.data.bucket_name,
            "DropBucket": corpus.drops.bucket_name,
            "DropPrefix": DROP_PREFIX,
            "TrainMachineArn": machine_arn(self, self.stage),
            "UnpackMachineArn": unpack_machine_arn(self, self.stage),
            "SearchMachineArn": machine_arn(self, self.stage, "search"),
            "ProviderSecret": self._provider_secret_name,
            "GatewayFunction": self.gateway.function.function_name,
            "ContainerRoleArn": self.serving.role.role_arn,
            "KeyArn": corpus.key.key_arn,
            "AlarmTopicArn": self.monitoring.topic.topic_arn,
        }
        for name, value in told.items():
            CfnOutput(self, name, value=value)


_COLON = ArnFormat.COLON_RESOURCE_NAME


def _may(
    grantee: aws_iam.IGrantable,
    actions: Sequence[str],
    resources: Sequence[str],
    conditions: Mapping[str, object] | None = None,
) -> None:
    grantee.grant_principal.add_to_principal_policy(
        aws_iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
    )
