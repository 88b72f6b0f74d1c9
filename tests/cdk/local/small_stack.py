"""A small CDK stack that uses of AWS what the real one uses; `synth(stage, outdir)` like cdk.app."""

from __future__ import annotations

import json
from pathlib import Path

from aws_cdk import (
    App,
    CfnOutput,
    Duration,
    RemovalPolicy,
    SecretValue,
    Stack,
    aws_apigatewayv2,
    aws_budgets,
    aws_cloudwatch,
    aws_dynamodb,
    aws_events,
    aws_events_targets,
    aws_iam,
    aws_kms,
    aws_lambda,
    aws_lambda_event_sources,
    aws_logs,
    aws_logs_destinations,
    aws_s3,
    aws_secretsmanager,
    aws_sqs,
    aws_stepfunctions,
)
from aws_cdk.aws_apigatewayv2_authorizers import HttpLambdaAuthorizer, HttpLambdaResponseType
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration

IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/fake:fake"
TRY_AGAIN = [{"ErrorEquals": ["Throttled"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 3}]


class Small(Stack):
    def __init__(self, app: App) -> None:
        super().__init__(app, "small", analytics_reporting=False)
        self.key = aws_kms.Key(self, "Key", removal_policy=RemovalPolicy.DESTROY)
        self.table = aws_dynamodb.TableV2(
            self,
            "Table",
            partition_key=aws_dynamodb.Attribute(name="pk", type=aws_dynamodb.AttributeType.STRING),
            sort_key=aws_dynamodb.Attribute(name="sk", type=aws_dynamodb.AttributeType.STRING),
            time_to_live_attribute="expires_at",
            encryption=aws_dynamodb.TableEncryptionV2.aws_managed_key(),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.table.add_global_secondary_index(
            index_name="by_time",
            partition_key=aws_dynamodb.Attribute(name="list_pk", type=aws_dynamodb.AttributeType.STRING),
            sort_key=aws_dynamodb.Attribute(name="list_sk", type=aws_dynamodb.AttributeType.STRING),
        )
        self.bucket = aws_s3.Bucket(self, "Bucket", versioned=True, removal_policy=RemovalPolicy.DESTROY)
        drop = self.bucket.node.default_child
        drop.add_property_override("NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True)
        self._secret()
        self._collect()
        api = self._api()
        machine = self._machine()
        self._progress()
        self._lacking()
        for name, value in {
            "ApiId": api.api_id,
            "TheTable": self.table.table_name,
            "TheBucket": self.bucket.bucket_name,
            "TheMachine": machine.state_machine_arn,
            "ProviderSecret": "small/providers",
        }.items():
            CfnOutput(self, name, value=value)

    def _function(self, name: str, **more: object) -> aws_lambda.Function:
        made = aws_lambda.Function(
            self,
            name.title(),
            function_name=f"small-{name}",
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            handler=f"handlers.{name}",
            code=aws_lambda.Code.from_asset(str(Path(__file__).parent / "small_functions")),
            environment={"TABLE": self.table.table_name, "VERSION": "1"},
            timeout=Duration.seconds(20),
            **more,
        )
        self.table.grant_read_write_data(made)
        return made

    def _secret(self) -> None:
        aws_secretsmanager.Secret(
            self,
            "Secret",
            secret_name="small/providers",
            secret_string_value=SecretValue.unsafe_plain_text("{}"),
            encryption_key=self.key,
        )

    def _collect(self) -> None:
        dead = aws_sqs.Queue(self, "Dead", queue_name="small-dead")
        queue = aws_sqs.Queue(
            self,
            "Queue",
            encryption=aws_sqs.QueueEncryption.KMS,
            encryption_master_key=self.key,
            visibility_timeout=Duration.seconds(1800),
            dead_letter_queue=aws_sqs.DeadLetterQueue(max_receive_count=2, queue=dead),
        )
        aws_events.Rule(
            self,
            "Dropped",
            event_pattern=aws_events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [self.bucket.bucket_name]}, "object": {"key": [{"prefix": "drop/"}]}},
            ),
            targets=[aws_events_targets.SqsQueue(queue)],
        )
        self._function("collect").add_event_source(
            aws_lambda_event_sources.SqsEventSource(
                queue, batch_size=5, report_batch_item_failures=True, max_concurrency=2
            )
        )

    def _api(self) -> aws_apigatewayv2.HttpApi:
        integration = HttpLambdaIntegration("Answer", self._function("answer"))
        authorizer = HttpLambdaAuthorizer(
            "Caller",
            self._function("authorize"),
            identity_source=[],
            response_types=[HttpLambdaResponseType.SIMPLE],
            results_cache_ttl=Duration.seconds(0),
        )
        api = aws_apigatewayv2.HttpApi(self, "Api", default_integration=integration, default_authorizer=authorizer)
        api.add_routes(
            path="/open",
            methods=[aws_apigatewayv2.HttpMethod.GET],
            integration=integration,
            authorizer=aws_apigatewayv2.HttpNoneAuthorizer(),
        )
        return api

    def _machine(self) -> aws_stepfunctions.StateMachine:
        step = self._function("step")
        role = aws_iam.Role(self, "Containers", assumed_by=aws_iam.ServicePrincipal("sagemaker.amazonaws.com"))
        caught = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Concluded"}]
        definition = {
            "StartAt": "Step",
            "States": {
                "Step": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {
                        "FunctionName": step.function_arn,
                        "Payload": {"name.$": "$.name", "bad.$": "$.bad"},
                    },
                    "TimeoutSeconds": 30,
                    "ResultSelector": {"version.$": "$.Payload.version"},
                    "ResultPath": "$.step",
                    "Retry": TRY_AGAIN,
                    "Catch": caught,
                    "Next": "Train",
                },
                "Train": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
                    "Parameters": {
                        "TrainingJobName.$": "$.name",
                        "RoleArn": role.role_arn,
                        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
                        "HyperParameters.$": "$.hyperparameters",
                        "OutputDataConfig": {
                            "S3OutputPath": f"s3://{self.bucket.bucket_name}/out",
                            "CompressionType": "NONE",
                        },
                        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.local", "VolumeSizeInGB": 1},
                        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                    },
                    "TimeoutSeconds": 120,
                    "ResultSelector": {"status.$": "$.TrainingJobStatus", "ended.$": "$.TrainingEndTime"},
                    "ResultPath": "$.train",
                    "Catch": caught,
                    "Next": "Concluded",
                },
                "Concluded": {"Type": "Succeed"},
            },
        }
        return aws_stepfunctions.StateMachine(
            self,
            "Machine",
            definition_body=aws_stepfunctions.DefinitionBody.from_string(self.to_json_string(definition)),
        )

    def _progress(self) -> None:
        group = aws_logs.LogGroup(
            self, "Training", log_group_name="/aws/sagemaker/TrainingJobs", removal_policy=RemovalPolicy.DESTROY
        )
        aws_logs.SubscriptionFilter(
            self,
            "Lines",
            log_group=group,
            destination=aws_logs_destinations.LambdaDestination(self._function("progress")),
            filter_pattern=aws_logs.FilterPattern.literal('{ ($.type = "progress") || ($.type = "metrics") }'),
        )

    def _lacking(self) -> None:
        """What the engine has not: it goes, and what depends on it stays."""
        budget = aws_budgets.CfnBudget(
            self,
            "Budget",
            budget=aws_budgets.CfnBudget.BudgetDataProperty(budget_type="COST", time_unit="MONTHLY"),
        )
        alarm = aws_cloudwatch.Alarm(
            self,
            "Alarm",
            metric=aws_cloudwatch.Metric(namespace="AWS/Lambda", metric_name="Errors"),
            threshold=1,
            evaluation_periods=1,
        )
        alarm.node.default_child.add_resource_dependency(budget)


def synth(stage: str, outdir: Path) -> Path:
    context = json.loads((Path(__file__).parents[3] / "cdk.json").read_text())["context"]
    app = App(outdir=str(outdir), context=context, analytics_reporting=False)
    Small(app)
    return Path(app.synth().directory)
