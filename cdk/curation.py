"""What follows a data point: `index` rates and indexes new ones, `export` writes files of them. Both hear the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aws_cdk import Duration, aws_lambda
from constructs import Construct
from millrace import settings

from .code import Functions
from .corpus import Corpus
from .stage import Stage

INDEX_TIMEOUT_S = 120
EXPORT_TIMEOUT_S = 900
"""Lambda's longest: some 10^6 data points."""
TRIES = 5


class Curation(Construct):
    """Two readers of the table's stream, which is as many as it takes without slowing down."""

    def __init__(
        self, scope: Construct, id: str, functions: Functions, stage: Stage, corpus: Corpus, storage: settings.Storage
    ) -> None:
        super().__init__(scope, id)
        self.index = functions.function(
            self, "index", "functions.index.handler.handler", storage, timeout_s=INDEX_TIMEOUT_S, memory_mb=1769
        )
        self.export = functions.function(
            self, "export", "functions.export.handler.handler", storage, timeout_s=EXPORT_TIMEOUT_S, memory_mb=1024
        )
        named_by_origin = {"origin_ref": {"S": aws_lambda.FilterRule.exists()}}
        named_by_shape = {"shape": {"S": aws_lambda.FilterRule.exists()}}
        # A second is what a batch waits for company: a person who looks at once sees a point without its rating.
        self._listen(self.index, functions, corpus, named_by_origin, size=100, window_s=1)
        self._listen(self.export, functions, corpus, named_by_shape, size=1, window_s=0)

    def _listen(
        self,
        function: aws_lambda.Function,
        functions: Functions,
        corpus: Corpus,
        image: Mapping[str, object],
        *,
        size: int,
        window_s: int,
    ) -> None:
        new = {"eventName": aws_lambda.FilterRule.is_equal("INSERT"), "dynamodb": {"NewImage": image}}
        source = aws_lambda.EventSourceMapping(
            self,
            f"To{function.node.id}",
            target=function,
            event_source_arn=corpus.table.table_stream_arn,
            starting_position=aws_lambda.StartingPosition.TRIM_HORIZON,
            batch_size=size,
            max_batching_window=Duration.seconds(window_s),
            bisect_batch_on_error=size > 1,
            retry_attempts=TRIES,
            parallelization_factor=2,
            filters=[aws_lambda.FilterCriteria.filter(new)],
        )
        # By the property: the construct's own destination would bring wildcard actions on the key.
        resource = cast(aws_lambda.CfnEventSourceMapping, source.node.default_child)
        resource.add_property_override("DestinationConfig.OnFailure.Destination", functions.failed_events.queue_arn)
