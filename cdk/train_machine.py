"""The state machine `train`: plan, train, evaluate, gate, quantize, gate again, register, deploy, conclude. Pure.

Input {"tenant", "job_id", "attempt"}.
"""

from __future__ import annotations

from typing import Any

from .machine import Steps, call, conclusions, deployment, gate, job
from .states import State

JOBS = 3


def definition(parts: Steps) -> dict[str, Any]:
    states: dict[str, State] = {
        "Plan": call(parts.plan, {}, then="TrainDisk", result="$.plan", keep=("train", "evaluate", "gguf", "model")),
        **job("Train", "$.plan.train", "$.train", parts, then="EvaluateDisk"),
        **job("Evaluate", "$.plan.evaluate", "$.evaluate", parts, then="Gate"),
        **gate("Gate", "adapter", parts, then="QuantizeDisk"),
        **job("Quantize", "$.plan.gguf", "$.gguf", parts, then="GateGguf"),
        **gate("GateGguf", "gguf", parts, then="Register"),
        "Register": call(parts.register, {}, then="Deploy"),
        **deployment(parts, then="ConcludeCompleted"),
        **conclusions(parts),
    }
    return {
        "Comment": "From a snapshot to a model that answers, or to the reasons why not.",
        "StartAt": "Plan",
        "TimeoutSeconds": parts.limit_s(JOBS),
        "States": states,
    }
