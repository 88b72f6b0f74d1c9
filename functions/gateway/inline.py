"""Where the work of a route runs: here, where the process has one request at a time; in a thread, where it has many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


async def run(request: Request, work: Callable[[], T]) -> T:
    """What `work` returns. A Lambda function has one event at a time, and nobody else waits for its loop.

    FastAPI's own way, a thread for each plain function, takes 0.2 ms, and many times that where threads compete.
    """
    if "aws.event" in request.scope:
        return work()
    return await run_in_threadpool(work)
