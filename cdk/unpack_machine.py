"""The state machine `unpack`: plan an archive's slices, look at each in a Distributed Map, merge, conclude. Pure.

Input {"tenant", "dataset_id", "attempt"}. What a slice saw lies in S3, so its execution answers with nothing. A slice
that takes longer than the function may is gone on with by another call. A refused archive is no failure: plan or merge
conclude it with its reason. What no Catch can see is the sweeper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .machine import one_more, while_fewer
from .states import State, choose, distribute, equals, invoke

STEP_TIMEOUT_S = 900
"""Of the function. A plan of a million members took 22 s of one processor."""
FAILED = "ConcludeFailed"
LIMIT_S = 6 * 3600
ROUNDS = LIMIT_S // STEP_TIMEOUT_S * 2
"""Calls for one slice; the machine's own limit ends it before, and the next attempt goes on from there."""


@dataclass(frozen=True)
class Parts:
    unpack: str
    """ARN of the function."""
    concurrency: int
    """Slices that are looked at at once."""
    limit_s: int = LIMIT_S


def definition(parts: Parts) -> dict[str, Any]:
    states = {
        "Plan": _call(parts, "plan", then="Planned", result="$.plan", keep=("outcome", "bucket", "key")),
        "Planned": choose([equals("$.plan.outcome", "go", "LookAtSlices")], "Succeeded"),
        "LookAtSlices": _slices(parts),
        "Merge": _call(parts, "merge", then="Succeeded"),
        FAILED: _call(parts, "fail", then="Failed", otherwise="Failed", more={"error.$": "$.error"}),
        "Succeeded": {"Type": "Succeed"},
        "Failed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
    }
    return {
        "Comment": "From an archive of images to a dataset that is ready, or to the reasons why not.",
        "StartAt": "Plan",
        "TimeoutSeconds": parts.limit_s,
        "States": states,
    }


def _slices(parts: Parts) -> State:
    look = _call(
        parts,
        "look",
        then="AllOfIt",
        otherwise="SliceFailed",
        result="$.looked",
        keep=("outcome",),
        more={"slice.$": "$.slice"},
    )
    again = {"Variable": "$.looked.outcome", "StringEquals": "again"}
    return distribute(
        {
            "Look": look,
            "AllOfIt": choose(
                [
                    equals("$.looked.outcome", "done", "Looked"),
                    while_fewer("$.rounds", ROUNDS, again, then="OneMore"),
                ],
                "TooLong",
            ),
            "OneMore": one_more("$.rounds", then="Look"),
            "TooLong": {"Type": "Fail", "Error": "TooLong", "Cause": f"A slice was not done in {ROUNDS} calls."},
            # What the function's answer leaves would add up: the list of all answers is held to 256 KB.
            "Looked": {"Type": "Pass", "Parameters": {"done": True}, "End": True},
            "SliceFailed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
        },
        start="Look",
        bucket="$.plan.bucket",
        key="$.plan.key",
        item={**_WHO, "slice.$": "$$.Map.Item.Value.slice", "rounds": {"count": 0}},
        concurrency=parts.concurrency,
        then="Merge",
        otherwise=FAILED,
    )


_WHO = {"tenant.$": "$.tenant", "dataset_id.$": "$.dataset_id", "attempt.$": "$.attempt"}


def _call(
    parts: Parts,
    step: str,
    *,
    then: str,
    otherwise: str = FAILED,
    result: str | None = None,
    keep: tuple[str, ...] = (),
    more: State | None = None,
) -> State:
    return invoke(
        parts.unpack,
        {**_WHO, "step": step, **(more or {})},
        then=then,
        otherwise=otherwise,
        timeout_s=STEP_TIMEOUT_S + 30,
        result=result,
        keep={name: f"$.Payload.{name}" for name in keep},
    )
