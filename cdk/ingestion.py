"""Drops: an object put into the drop bucket reaches the ingest function at least once, or the dead letters."""

from __future__ import annotations

from collections.abc import Callable

from aws_cdk import Duration, aws_events, aws_events_targets
from constructs import Construct
from millrace import settings
from millrace.contract import DROP_PREFIX

from .code import Functions
from .corpus import Corpus
from .queueing import Watched
from .stage import Stage

INGEST_TIMEOUT_S = 300
TRIES = 5


class Ingestion(Construct):
    """Bucket -> EventBridge -> queue -> function."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        functions: Functions,
        stage: Stage,
        corpus: Corpus,
        ingest: Callable[[str], settings.Ingest],
    ) -> None:
        """`ingest`: the function's settings, given the URL of its queue."""
        super().__init__(scope, id)
        # AWS's advice: six times the function's timeout, so that no message is seen twice before its turn. Once it is
        # worked on, and when it has failed, the function itself says when it is seen again: within a minute.
        self.watched = Watched.of(self, corpus, 6 * INGEST_TIMEOUT_S, TRIES, "dropped file")
        self.function = functions.function(
            self,
            "ingest",
            "functions.ingest.handler.handler",
            ingest(self.watched.queue.queue_url),
            timeout_s=INGEST_TIMEOUT_S,
            memory_mb=1769,
            temporary_mb=1024,
        )
        self.watched.feed(self.function, batch_size=5, at_once=stage.ingest_concurrency)
        self._listen(corpus)

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
                    self.watched.queue,
                    dead_letter_queue=self.watched.dead_letters,
                    retry_attempts=20,
                    max_event_age=Duration.hours(6),
                )
            ],
        )
