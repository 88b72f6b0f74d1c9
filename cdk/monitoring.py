"""Watching: the sweeper, the progress of containers, alarms with one topic, a dashboard and the budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aws_cdk import (
    Duration,
    Stack,
    aws_budgets,
    aws_cloudwatch,
    aws_cloudwatch_actions,
    aws_events,
    aws_events_targets,
    aws_iam,
    aws_lambda,
    aws_logs,
    aws_logs_destinations,
    aws_sns,
    aws_stepfunctions,
)
from constructs import Construct
from millrace import settings

from .code import Functions
from .corpus import Corpus
from .gateway import Gateway
from .queueing import Watched
from .stage import Stage
from .training import Training

TRAINING_LOG = "/aws/sagemaker/TrainingJobs"
"""SageMaker's own name, one for the account: stdout of every training container."""
_QUIET = aws_cloudwatch.TreatMissingData.NOT_BREACHING
_REACHED = aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD


class Monitoring(Construct):
    """`monitor` runs every minute: it ends or restarts what was left unfinished. `progress` reads containers' lines."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        functions: Functions,
        stage: Stage,
        corpus: Corpus,
        training: settings.Monitor,
    ) -> None:
        super().__init__(scope, id)
        self.stage = stage
        self.monitor = functions.function(
            self, "monitor", "functions.monitor.handler.handler", training, timeout_s=50, asynchronous=True
        )
        aws_events.Rule(
            self,
            "EveryMinute",
            description="Sweep unfinished jobs",
            schedule=aws_events.Schedule.rate(Duration.minutes(1)),
            targets=[aws_events_targets.LambdaFunction(self.monitor, retry_attempts=0)],
        )
        self.progress = functions.function(
            self, "progress", "functions.progress.handler.handler", training, timeout_s=60, asynchronous=True
        )
        self.training_log = self._training_log(corpus)
        self.topic = self._topic(corpus)

    def _training_log(self, corpus: Corpus) -> aws_logs.ILogGroup:
        """Where SageMaker has been used before, the group exists: `-c training_log=existing` adopts it as it is."""
        if self.node.try_get_context("training_log") == "existing":
            group = aws_logs.LogGroup.from_log_group_name(self, "TrainingLog", TRAINING_LOG)
        else:
            group = aws_logs.LogGroup(
                self,
                "TrainingLog",
                log_group_name=TRAINING_LOG,
                retention=self.stage.log_retention,
                removal_policy=self.stage.removal,
                encryption_key=corpus.key,
            )
        aws_logs.SubscriptionFilter(
            self,
            "Lines",
            log_group=group,
            destination=aws_logs_destinations.LambdaDestination(self.progress),
            filter_pattern=aws_logs.FilterPattern.all_events(),
        )
        return group

    def _topic(self, corpus: Corpus) -> aws_sns.Topic:
        topic = aws_sns.Topic(self, "Alarms", master_key=corpus.key, enforce_ssl=True)
        for sender in ("cloudwatch.amazonaws.com", "budgets.amazonaws.com"):
            topic.add_to_resource_policy(
                aws_iam.PolicyStatement(
                    principals=[aws_iam.ServicePrincipal(sender)],
                    actions=["sns:Publish"],
                    resources=[topic.topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
                )
            )
        return topic

    def watch(self, functions: Functions, gateway: Gateway, queues: Iterable[Watched], training: Training) -> None:
        """Alarms on everything that fails silently otherwise, the dashboard and the budget."""
        alarms = [
            *(alarm for watched in queues for alarm in watched.alarms),
            *(alarm for name, function in functions.made.items() for alarm in self._of_function(name, function)),
            self._alarm(
                "failed-events",
                functions.failed_events.metric_approximate_number_of_messages_visible(statistic="Maximum"),
                "An event that nobody waits for failed for good; it lies in the dead letters.",
            ),
            *(alarm for machine in (training.machine, training.search) for alarm in self._of_machine(machine)),
            self._alarm(
                "models-ending",
                aws_cloudwatch.Metric(
                    namespace="Millrace",
                    metric_name="ModelsEnding",
                    dimensions_map={"service": "monitor"},
                    statistic="Maximum",
                    period=Duration.hours(1),
                ),
                "A model of the catalogue is shut down within a fortnight: replay the golden set on its successor.",
            ),
            self._alarm("api-errors", gateway.api.metric_server_error(), "The API answered 5xx.", threshold=5),
        ]
        for alarm in alarms:
            alarm.add_alarm_action(aws_cloudwatch_actions.SnsAction(self.topic))
        self._dashboard(functions.made, gateway, training, alarms)
        self._budget()

    def _of_function(self, name: str, function: aws_lambda.Function) -> Iterable[aws_cloudwatch.Alarm]:
        yield self._alarm(f"{name}-errors", function.metric_errors(), f"{name} raised an error.")
        yield self._alarm(f"{name}-throttles", function.metric_throttles(), f"{name} was throttled.")

    def _of_machine(self, machine: aws_stepfunctions.StateMachine) -> Iterable[aws_cloudwatch.Alarm]:
        kind = "train" if machine.node.id == "Machine" else "search"
        yield self._alarm(f"{kind}-failed", machine.metric_failed(), f"A {kind} job ended as failed.")
        yield self._alarm(f"{kind}-timed-out", machine.metric_timed_out(), f"A {kind} job ran out of time.")

    def _alarm(
        self, id: str, metric: aws_cloudwatch.Metric, description: str, threshold: float = 1
    ) -> aws_cloudwatch.Alarm:
        return metric.create_alarm(
            self,
            id,
            alarm_description=description,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=_REACHED,
            treat_missing_data=_QUIET,
        )

    def _dashboard(
        self,
        functions: Mapping[str, aws_lambda.Function],
        gateway: Gateway,
        training: Training,
        alarms: list[aws_cloudwatch.Alarm],
    ) -> None:
        widget = aws_cloudwatch.GraphWidget
        machine, api = training.machine, gateway.api
        aws_cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self.stage.prefix,
            widgets=[
                [aws_cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=24)],
                [
                    widget(title="Requests", left=[api.metric_count(), api.metric_server_error()]),
                    widget(title="Latency, ms", left=[api.metric_latency(statistic="p50"), api.metric_latency()]),
                    widget(title="Trainings", left=[machine.metric_succeeded(), machine.metric_failed()]),
                ],
                [
                    widget(title="Invocations", left=[f.metric_invocations() for f in functions.values()], width=12),
                    widget(title="Duration, ms", left=[f.metric_duration() for f in functions.values()], width=12),
                ],
            ],
        )

    def _budget(self) -> None:
        tell = [aws_budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=self.topic.topic_arn)]
        limits = (("ACTUAL", 80), ("FORECASTED", 100))
        aws_budgets.CfnBudget(
            self,
            "Budget",
            budget=aws_budgets.CfnBudget.BudgetDataProperty(
                budget_name=self.stage.prefix,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=aws_budgets.CfnBudget.SpendProperty(amount=self.stage.budget_usd, unit="USD"),
            ),
            notifications_with_subscribers=[
                aws_budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=aws_budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN", notification_type=kind, threshold=percent
                    ),
                    subscribers=tell,
                )
                for kind, percent in limits
            ],
        )
