"""A long text's job: followed with its progress until its result is there."""

from __future__ import annotations

import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..errors import MillraceError, Unavailable
from . import show
from .client import Client, Refused

POLL_S = 1.0
TIMEOUT_S = 60.0


class Failed(MillraceError):
    """The job ended without a result; the sentence is its own."""


def is_job(answer: dict[str, Any]) -> bool:
    return "progress" in answer and "state" in answer


def followed(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    """What the job came to; Failed where it came to nothing. Whoever gives up waiting is told its id."""
    show.err().print(f"[dim]{job['progress']['steps']} paragraphs, as job {job['id']}[/]")
    with show.bars() as bars:
        task = bars.add_task("rewriting", total=job["progress"]["steps"]) if bars else None
        while job["state"] not in ("completed", "failed", "cancelled"):
            time.sleep(POLL_S)
            job = client.get("humanize", "jobs", job["id"])
            if bars is not None and task is not None:
                bars.update(task, completed=job["progress"]["step"], description=job["state"])
    if job["state"] == "failed":
        raise Refused(job["error"], job.get("problem") or {})
    if job["state"] == "cancelled":
        raise Failed("The rewrite was cancelled.")
    return job["result"] or _fetched(job["result_url"])


def _fetched(url: str) -> dict[str, Any]:
    if urlsplit(url).scheme not in ("https", "http"):
        raise Unavailable("The result's link is not one that can be followed.")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310 - looked at above
            found: dict[str, Any] = orjson.loads(reply.read())
    except (OSError, ValueError) as error:
        raise Unavailable(f"The result could not be fetched: {error}.") from error
    return found
