"""A queue in front of a function, its dead letters, and the alarms on both."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, aws_cloudwatch, aws_lambda, aws_lambda_event_sources, aws_sqs
from constructs import Construct

from .corpus import Corpus


@dataclass(frozen=True)
class Watched:
    """Messages that were received too often lie in `dead_letters`; `alarms` say so, and that work has piled up."""

    queue: aws_sqs.Queue
    dead_letters: aws_sqs.Queue
    alarms: list[aws_cloudwatch.Alarm]

    @classmethod
    def of(cls, scope: Construct, corpus: Corpus, visibility_s: int, tries: int, what: str) -> Watched:
        """`what` names one message in the alarms' sentences."""
        dead_letters = _queue(scope, "DeadLetters", corpus, retention=Duration.days(14))
        queue = _queue(
            scope,
            "Queue",
            corpus,
            retention=Duration.days(4),
            visibility=Duration.seconds(visibility_s),
            dead_letters=aws_sqs.DeadLetterQueue(max_receive_count=tries, queue=dead_letters),
        )
        return cls(queue, dead_letters, _alarms(scope, queue, dead_letters, what))

    def feed(self, function: aws_lambda.Function, batch_size: int, at_once: int) -> None:
        """One failed record of a batch comes back alone."""
        function.add_event_source(
            aws_lambda_event_sources.SqsEventSource(
                self.queue, batch_size=batch_size, report_batch_item_failures=True, max_concurrency=at_once
            )
        )


def _queue(
    scope: Construct,
    id: str,
    corpus: Corpus,
    *,
    retention: Duration,
    visibility: Duration | None = None,
    dead_letters: aws_sqs.DeadLetterQueue | None = None,
) -> aws_sqs.Queue:
    return aws_sqs.Queue(
        scope,
        id,
        encryption=aws_sqs.QueueEncryption.KMS,
        encryption_master_key=corpus.fixed_key,
        enforce_ssl=True,
        retention_period=retention,
        visibility_timeout=visibility,
        dead_letter_queue=dead_letters,
    )


def _alarms(
    scope: Construct, queue: aws_sqs.Queue, dead_letters: aws_sqs.Queue, what: str
) -> list[aws_cloudwatch.Alarm]:
    depth = dead_letters.metric_approximate_number_of_messages_visible(statistic="Maximum", period=Duration.minutes(1))
    age = queue.metric_approximate_age_of_oldest_message(statistic="Maximum", period=Duration.minutes(5))
    quiet = aws_cloudwatch.TreatMissingData.NOT_BREACHING
    return [
        depth.create_alarm(
            scope,
            "DeadLettersAlarm",
            alarm_description=f"A {what} failed after every try; its message lies in the dead letters.",
            threshold=1,
            evaluation_periods=1,
            comparison_operator=aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=quiet,
        ),
        age.create_alarm(
            scope,
            "BacklogAlarm",
            alarm_description=f"A {what} has waited for more than half an hour.",
            threshold=1800,
            evaluation_periods=1,
            treat_missing_data=quiet,
        ),
    ]
