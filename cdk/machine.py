"""What the machines `train` and `search` are both made of: steps, containers, gates, the deployment, the end. Pure.

Every way through ends in `conclude`, whose outcome is completed, refused or failed; what no Catch can see (a machine's
own timeout, an abort) is left to the sweeper.
"""

from __future__ import annotations

from dataclasses import dataclass

from millrace.errors import Unavailable

from .states import State, choose, equals, invoke, on_nvme, retry, train

STEP_TIMEOUT_S = 900
"""Of the longest, `plan`: half a million data points make a snapshot in it, were none of them rated before."""
"""Longest that a step's function may take, and with a margin its Task."""
FAILED = "ConcludeFailed"
BUSY = retry([Unavailable.__name__], attempts=10, interval_s=60, limit_s=300)
"""An endpoint that another version comes up behind, or that is being removed, takes no other: 2,520 s of waiting at
most, half of that on average."""


@dataclass(frozen=True)
class Steps:
    """What both machines call: ARNs, and how long they wait."""

    plan: str
    gate: str
    register: str
    deploy: str
    conclude: str
    role: str
    key: str
    job_limit_s: int
    deploy_poll_s: int
    deploy_polls: int

    def limit_s(self, jobs: int) -> int:
        """Of a whole execution: so many jobs at their longest, the deployment, and room for every retry."""
        return jobs * self.job_limit_s + self.deploy_polls * (self.deploy_poll_s + 2) + 3600


def call(
    function: str,
    payload: State,
    *,
    then: str | None,
    result: str | None = None,
    keep: tuple[str, ...] = (),
    patience: list[State] | None = None,
) -> State:
    who = {"tenant.$": "$.tenant", "job_id.$": "$.job_id", "attempt.$": "$.attempt"}
    return invoke(
        function,
        who | payload,
        then=then,
        otherwise=FAILED,
        timeout_s=STEP_TIMEOUT_S + 30,
        result=result,
        keep={name: f"$.Payload.{name}" for name in keep},
        patience=patience,
    )


def job(name: str, plan: str, result: str, parts: Steps, *, then: str) -> dict[str, State]:
    """A container's run, begun at `<name>Disk`. `plan`: path of what it is given. A job that was stopped, by its time
    limit or by hand, has not succeeded."""
    disk, nvme, ended, stopped = f"{name}Disk", f"{name}OnNvme", f"{name}Ended", f"{name}Stopped"

    def run(local_disks: bool) -> State:
        return train(
            plan,
            role=parts.role,
            key=parts.key,
            nvme=local_disks,
            then=ended,
            otherwise=FAILED,
            timeout_s=parts.job_limit_s,
            result=result,
        )

    return {
        disk: choose([on_nvme(plan, nvme)], name),
        name: run(False),
        nvme: run(True),
        ended: choose([equals(f"{result}.TrainingJobStatus", "Completed", then)], stopped),
        stopped: {
            "Type": "Pass",
            "Parameters": {"Error": "TrainingFailed", "Cause.$": f"States.JsonToString({result})"},
            "ResultPath": "$.error",
            "Next": FAILED,
        },
    }


def gate(name: str, subject: str, parts: Steps, *, then: str) -> dict[str, State]:
    decided = f"{name}Decided"
    return {
        name: call(parts.gate, {"subject": subject}, then=decided, result="$.gate", keep=("passed",)),
        decided: choose([equals("$.gate.passed", True, then)], "ConcludeRefused"),
    }


def deployment(parts: Steps, *, then: str) -> dict[str, State]:
    """Start it, then look again and again, a counted number of times."""
    status = "$.deployment.status"
    return {
        "Deploy": call(parts.deploy, {"action": "start"}, then="CountFromZero", patience=BUSY),
        "CountFromZero": from_zero("$.polls", then="WaitForDeployment"),
        "WaitForDeployment": {"Type": "Wait", "Seconds": parts.deploy_poll_s, "Next": "CountDeployment"},
        "CountDeployment": one_more("$.polls", then="CheckDeployment"),
        "CheckDeployment": call(
            parts.deploy, {"action": "check"}, then="Deployed", result="$.deployment", keep=("status",)
        ),
        "Deployed": choose(
            [
                equals(status, "in_service", then),
                while_fewer(
                    "$.polls",
                    parts.deploy_polls,
                    {"Variable": status, "StringEquals": "creating"},
                    then="WaitForDeployment",
                ),
            ],
            "DeploymentFailed",
        ),
        "DeploymentFailed": _wrong("DeploymentFailed", "The endpoint failed to come up, or took too long."),
    }


def conclusions(parts: Steps) -> dict[str, State]:
    failed = call(
        parts.conclude,
        {"outcome": "failed", "error.$": "$.error"},
        then="Concluded",
        result="$.concluded",
        keep=("state",),
    )
    failed["Catch"][0]["Next"] = "Failed"
    return {
        "ConcludeCompleted": call(parts.conclude, {"outcome": "completed"}, then="Succeeded"),
        "ConcludeRefused": call(parts.conclude, {"outcome": "refused"}, then="Succeeded"),
        FAILED: failed,
        # One that is begun again, or was cancelled, has not failed.
        "Concluded": choose([equals("$.concluded.state", "failed", "Failed")], "Succeeded"),
        "Succeeded": {"Type": "Succeed"},
        "Failed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
    }


def _set(path: str, value: State, *, then: str) -> State:
    return {"Type": "Pass", "Result": value, "ResultPath": path, "Next": then}


def _wrong(error: str, cause: str) -> State:
    """In the shape that a Catch leaves, so that conclude reads one kind of error."""
    return _set("$.error", {"Error": error, "Cause": cause}, then=FAILED)


def from_zero(counter: str, *, then: str) -> State:
    """A counter: no circle goes round for ever."""
    return _set(counter, {"count": 0}, then=then)


def one_more(counter: str, *, then: str) -> State:
    parameters = {"count.$": f"States.MathAdd({counter}.count, 1)"}
    return {"Type": "Pass", "Parameters": parameters, "ResultPath": counter, "Next": then}


def while_fewer(counter: str, limit: int, rule: State, *, then: str) -> State:
    """Round again, where the rule holds and the counter has room."""
    return {"And": [rule, {"Variable": f"{counter}.count", "NumericLessThan": limit}], "Next": then}
