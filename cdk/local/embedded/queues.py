"""SQS in front of Lambda on a laptop: a failed delivery comes again within seconds, not after the visibility timeout.

The timeout of a real queue covers a function that may still be at work somewhere; here it is known to have ended.
Receive counts and dead letters are as in AWS.
"""

from __future__ import annotations

import time
from typing import Any

FIRST_S = 2.0
"""Before the second try; doubled for each one after it."""


def install() -> None:
    from ministack.services import lambda_svc, sqs

    run = lambda_svc._run_sqs_batch

    def run_and_release(esm: Any, func: Any, event: Any, batch: list[dict[str, Any]], url: str, name: str) -> None:
        run(esm, func, event, batch, url, name)
        now = time.time()
        for message in batch:  # those that are done are no longer in the queue
            wait_s = FIRST_S * 2 ** (message.get("receive_count", 1) - 1)
            message["visible_at"] = min(message["visible_at"], now + wait_s)

    load = sqs.load_persisted_state

    def load_and_release(data: Any) -> None:
        load(data)
        for queue in sqs._queues.all_values():
            for message in queue.get("messages", []):
                message["visible_at"] = min(message.get("visible_at", 0.0), time.time())

    lambda_svc._run_sqs_batch = run_and_release
    sqs.load_persisted_state = load_and_release
