"""Drops: an object put into the drop bucket reaches the ingest function at least once, or the dead letters."""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch, aws_events, aws_events_targets, aws_lambda_event_sources, aws_sqs
from constructs import Construct
from millrace import settings
from millrace.contract import DROP_PREFIX

from .code import Functions
from .corpus import Corpus
from .stage import Stage

INGEST_TIMEOUT_S = 300
TRIES = 5


class Ingestion(Construct):
    """Bucket -> EventBridge -> queue -> function; one failed record of a batch comes back alone."""

    def __init__(
        self, scope: Construct, id: str, functions: Functions, stage: Stage, corpus: Corpus, ingest: settings.Ingest
    ) -> None:
        super().__init__(scope, id)
        self.dead_letters = self._queue("DeadLetters", corpus, retention=Duration.days(14))
        self.queue = self._queue(
            "Queue",
            corpus,
            retention=Duration.days(4),
            # AWS's advice: six times the function's timeout, so that no message is seen twice while it is worked on.
            visibility=Duration.seconds(6 * INGEST_TIMEOUT_S),
            dead_letters=aws_sqs.DeadLetterQueue(max_receive_count=TRIES, queue=self.dead_letters),
        )
        self.function = functions.function(
            self,
            "ingest",
            "functions.ingest.handler.handler",
            ingest,
            timeout_s=INGEST_TIMEOUT_S,
            memory_mb=1769,
            temporary_mb=1024,
        )
        self.function.add_event_source(
            aws_lambda_event_sources.SqsEventSource(
                self.queue, batch_size=5, report_batch_item_failures=True, max_concurrency=stage.ingest_concurrency
            )
        )
        self._listen(corpus)
        self.alarms = self._alarms()

    def _queue(
        self,
        id: str,
        corpus: Corpus,
        *,
        retention: Duration,
        visibility: Duration | None = None,
        dead_letters: aws_sqs.DeadLetterQueue | None = None,
    ) -> aws_sqs.Queue:
        return aws_sqs.Queue(
            self,
            id,
            encryption=aws_sqs.QueueEncryption.KMS,
            encryption_master_key=corpus.fixed_key,
            enforce_ssl=True,
            retention_period=retention,
            visibility_timeout=visibility,
            dead_letter_queue=dead_letters,
        )

    def _listen(self, corpus: Corpus) -> None:
        aws_events.Rule(
            self,
            "Dropped",
            description="An object under drop/ is new or overwritten",
            event_pattern=aws_events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [corpus.drops.bucket_name]}, "object": {"key": [{"prefix": DROP_PREFIX}]}},
            ),
            targets=[
                aws_events_targets.SqsQueue(
                    self.queue, dead_letter_queue=self.dead_letters, retry_attempts=20, max_event_age=Duration.hours(6)
                )
            ],
        )

    def _alarms(self) -> list[aws_cloudwatch.Alarm]:
        depth = self.dead_letters.metric_approximate_number_of_messages_visible(
            statistic="Maximum", period=Duration.minutes(1)
        )
        age = self.queue.metric_approximate_age_of_oldest_message(statistic="Maximum", period=Duration.minutes(5))
        return [
            depth.create_alarm(
                self,
                "DeadLettersAlarm",
                alarm_description="A dropped file could not be collected after every try; its event lies in the queue.",
                threshold=1,
                evaluation_periods=1,
                comparison_operator=aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
            age.create_alarm(
                self,
                "BacklogAlarm",
                alarm_description="Dropped files have waited for more than half an hour.",
                threshold=1800,
                evaluation_periods=1,
                treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
        ]
