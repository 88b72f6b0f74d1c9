"""The state machine `search`: plan, propose and try again and again, finish, gate, register, deploy, conclude. Pure.

Input {"tenant", "job_id", "attempt"}, like its sibling `train`. A network that is given or transferred is trained at
once; a search first goes round: `propose` writes the round's specs (a language model's, or the evolutionary
proposer's), a container tries them, `judge` keeps what they showed and says whether another round pays. Where nothing
new fits, `propose` says so and the rounds are over. The last container trains the finalists over several seeds, reads
the test split once and exports the winner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .machine import Steps, call, conclusions, deployment, from_zero, gate, job, one_more, while_fewer
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
    again = {"Variable": "$.judged.again", "BooleanEquals": True}
    states: dict[str, State] = {
        "Plan": call(parts.plan, {}, then="Kind", result="$.plan", keep=("kind", "train", "model")),
        "Kind": choose([equals("$.plan.kind", "search", "RoundsFromZero")], "TrainDisk"),
        "RoundsFromZero": from_zero("$.rounds", then="Propose"),
        "Propose": call(parts.propose, {}, then="Proposed", result="$.round", keep=("kind", "trials", "number")),
        "Proposed": choose([equals("$.round.kind", "finish", "TrainDisk")], "TrialsDisk"),
        **job("Trials", "$.round.trials", "$.trials", parts, then="Judge"),
        "Judge": call(parts.judge, seen, then="CountRound", result="$.judged", keep=("again",)),
        "CountRound": one_more("$.rounds", then="Judged"),
        "Judged": choose([while_fewer("$.rounds", parts.max_rounds, again, then="Propose")], "TrainDisk"),
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
