"""Rewrites that nobody waits for: the gateway queues a job, the function works on it slice by slice."""

from __future__ import annotations

from collections.abc import Callable

from constructs import Construct
from millrace import settings
from millrace.rewrites import TRIES

from . import bundle
from .code import Functions
from .corpus import Corpus
from .queueing import Watched
from .stage import Stage

REWRITE_TIMEOUT_S = 300
"""A slice of two minutes, its last stretch of one, and the verification of five megabytes."""


class Humanizing(Construct):
    """One message is one slice; the next one is queued by the function itself."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        functions: Functions,
        stage: Stage,
        corpus: Corpus,
        rewrite: Callable[[str], settings.Rewrite],
    ) -> None:
        super().__init__(scope, id)
        # Twice the timeout and not six times: a message is taken only while the function has room for it, and after
        # a crash the job stands still for so long. One receive more than tries: the last one tells the job its end.
        self.watched = Watched.of(self, corpus, 2 * REWRITE_TIMEOUT_S, TRIES + 1, "rewrite")
        self.function = functions.function(
            self,
            "rewrite",
            "functions.rewrite.handler.handler",
            rewrite(self.watched.queue.queue_url),
            kind=bundle.GATEWAY,
            timeout_s=REWRITE_TIMEOUT_S,
            memory_mb=1769,
        )
        self.watched.feed(self.function, batch_size=1, at_once=stage.rewrite_concurrency)
