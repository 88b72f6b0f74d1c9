"""Why an attempt ended, in one sentence, and what the next one does otherwise. Pure.

Input is what Step Functions caught: {"Error", "Cause"}, whose cause is a job's description with the sentence that the
container left in output/failure. A sentence that begins with a code (`OutOfMemory: ...`) says what can be done about
it: less memory at once with the same effective batch, or the same again from the last checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .jobs import Job
from .ladder import ladder
from .strategies import strategies

OUT_OF_MEMORY, KILLED, INTERRUPTED = "OutOfMemory", "Killed", "Interrupted"
DISK_FULL, TIME_LIMIT, STOPPED, FAILED = "DiskFull", "TimeLimit", "Stopped", "Failed"
MOST: Mapping[str, int] = {OUT_OF_MEMORY: 8, KILLED: 2, INTERRUPTED: 5}
"""How often a job is begun again for each reason; for any other never."""
JOURNALS = ("cnn_search",)
"""Containers that keep every training of theirs as it ends."""
NETWORKS_BATCH = 8
"""As blocks.Recipe has it."""
SENTENCE_CHARACTERS = 1_000

_FRAME = re.compile(r"^AlgorithmError: (.*?),? ?exit code: (\d+)$", re.DOTALL)
"""What SageMaker puts round the sentence that a container left."""
_CODE = re.compile(r"^([A-Z][A-Za-z]{2,39}): (?=\S)")
_CODES = frozenset({OUT_OF_MEMORY, KILLED, INTERRUPTED, DISK_FULL, TIME_LIMIT})
_THEIRS = ("InternalServerError", "CapacityError", "InsufficientCapacity", "Job preempted")
"""SageMaker's own faults: the same again may well work."""
_TAKEN = "Job name must be unique"
"""SageMaker has the container already: it was started, and the reply to that was lost."""
_SIGKILL = 137
_KILLED = "The container was killed, as happens when its machine runs out of memory."


@dataclass(frozen=True)
class Failure:
    code: str
    text: str


@dataclass(frozen=True)
class Retry:
    """The next attempt: its hyperparameters, and the sentence that says what was changed."""

    hyperparameters: Mapping[str, Any]
    text: str


def read(error: Any) -> Failure:
    """Code and sentence of what a Catch left."""
    code, text = _told(error)
    short = text if len(text) <= SENTENCE_CHARACTERS else text[: SENTENCE_CHARACTERS - 1] + "…"
    return Failure(code, short)


def _told(error: Any) -> tuple[str, str]:
    if not isinstance(error, Mapping):
        return FAILED, "The training failed without a reason."
    cause, name = str(error.get("Cause") or ""), str(error.get("Error") or "an unknown error")
    try:
        told = orjson.loads(cause)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, Mapping):
        for field in ("FailureReason", "errorMessage", "Message"):
            if told.get(field):
                return _reason(str(told[field]))
        if told.get("SecondaryStatus") == "MaxRuntimeExceeded":
            return TIME_LIMIT, "The container was stopped: it ran for longer than its time limit."
        if told.get("SecondaryStatus") == "MaxWaitTimeExceeded":
            return TIME_LIMIT, "The container was stopped: no spot machine was to be had for it in time."
        if told.get("TrainingJobStatus") == "Stopped":
            return STOPPED, "The container was stopped before it had finished."
    if _TAKEN in cause:
        return INTERRUPTED, "The container was started by a call whose reply was lost."
    if name == "States.Timeout":
        return TIME_LIMIT, "A step took longer than its time limit and was stopped."
    return FAILED, cause or f"The training failed with {name}."


def _reason(reason: str) -> tuple[str, str]:
    framed = _FRAME.match(reason)
    said = framed[1].strip().rstrip(",") if framed else reason
    if framed and not said:
        killed = int(framed[2]) == _SIGKILL
        return (KILLED, _KILLED) if killed else (FAILED, f"The container ended with status {framed[2]} and no reason.")
    if not framed and said.startswith(_THEIRS):
        return INTERRUPTED, said
    coded = _CODE.match(said)
    if coded and coded[1] in _CODES:
        return coded[1], said[coded.end() :]
    return FAILED, said


def next_try(job: Job, failure: Failure) -> Retry | None:
    """What the next attempt is given; None where another would end the same way."""
    if sum(earlier["code"] == failure.code for earlier in job.recoveries) >= MOST.get(failure.code, 0):
        return None
    if failure.code == INTERRUPTED:
        return Retry(job.hyperparameters, f"{failure.text} Begun again from the last checkpoint.")
    eased = ladder(job.hyperparameters, least_batch(job.strategy))
    if eased is None:
        return _from_journal(job, failure)
    return Retry(eased, f"{failure.text} Begun again with {_changes(job.hyperparameters, eased)}.")


def _from_journal(job: Job, failure: Failure) -> Retry | None:
    """Once, and one training at a time: what has ended is not done again, and those under way took the memory."""
    known = strategies().get(job.strategy)
    if failure.code != KILLED or known is None or known.container not in JOURNALS:
        return None
    if any(earlier["code"] == KILLED for earlier in job.recoveries):
        return None
    alone = {**job.hyperparameters, "workers": 1}
    return Retry(alone, f"{failure.text} Begun again after the last training that ended, one training at a time.")


def least_batch(strategy: str) -> int:
    """Rows of a batch that a strategy needs: KTO compares some with others. Where 0 says its own, a network's least."""
    known = strategies().get(strategy)
    schema = known.hyperparameters.get("batch_size", {}) if known else {}
    return int(schema.get("minimum", 1)) or NETWORKS_BATCH


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    changed = [name for name in after if after[name] != before.get(name)]
    return ", ".join(f"{name.replace('_', ' ')} {after[name]} instead of {before.get(name)}" for name in changed)
