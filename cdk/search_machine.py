"""The state machine `search`: plan, propose and try again and again, finish, gate, register, deploy, conclude. Pure.

Input {"tenant", "job_id", "attempt"}, like its sibling `train`. A network that is given or transferred is trained at
once; a search first goes round: `propose` writes the round's specs (a language model's, or the evolutionary
proposer's), a container tries them, `judge` keeps what they showed and says whether another round pays. The last
container trains the finalists over several seeds, reads the test split once and exports the winner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .machine import Steps, call, conclusions, deployment, gate, job
from .states import State, choose, equals


@dataclass(frozen=True)
class Parts(Steps):
    """What the machine calls beyond `train`'s steps."""

    propose: str
    judge: str
    max_rounds: int
    """For how many rounds the machine's own time limit has room."""


def definition(parts: Parts) -> dict[str, Any]:
    seen = {"round.$": "$.round.number"}
    states: dict[str, State] = {
        "Plan": call(parts.plan, {}, then="Kind", result="$.plan", keep=("kind", "train", "model")),
        "Kind": choose([equals("$.plan.kind", "search", "Propose")], "TrainDisk"),
        "Propose": call(parts.propose, {}, then="TrialsDisk", result="$.round", keep=("trials", "number")),
        **job("Trials", "$.round.trials", "$.trials", parts, then="Judge"),
        "Judge": call(parts.judge, seen, then="Judged", result="$.judged", keep=("again",)),
        "Judged": choose([equals("$.judged.again", True, "Propose")], "TrainDisk"),
        **job("Train", "$.plan.train", "$.train", parts, then="Gate"),
        **gate("Gate", "cnn", parts, then="Register"),
        "Register": call(parts.register, {}, then="Deploy"),
        **deployment(parts, then="ConcludeCompleted"),
        **conclusions(parts),
    }
    return {
        "Comment": "From a dataset of images to a network that classifies, or to the reasons why not.",
        "StartAt": "Plan",
        "TimeoutSeconds": parts.limit_s(parts.max_rounds + 1),
        "States": states,
    }
