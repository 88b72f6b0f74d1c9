"""Walks a state machine (Amazon States Language, JSONPath) and tells everything in it that could wait for ever.

Independent of how our machines are written: it knows the language's rules and the names that errors really have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from millrace import errors

State = dict[str, Any]

ENDS = ("Succeed", "Fail")
STATES_ERRORS = {"States.ALL", "States.Timeout", "States.TaskFailed", "States.HeartbeatTimeout", "States.Permissions"}
SERVICE_ERRORS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "SageMaker.AmazonSageMakerException",
    "SageMaker.ThrottlingException",
}
RETRY_CAP = 10
_PATH = re.compile(r"^\$(\$)?(\.[A-Za-z_][\w]*|\[\d+\])*$")


def faults(definition: State) -> list[str]:
    """One sentence for each fault; nothing for a machine that always ends."""
    states: dict[str, State] = definition.get("States", {})
    found = list(_of_machine(definition, states))
    for name, state in states.items():
        found += [f"{name}: {fault}" for fault in _of_state(state, states)]
    return found


def _of_machine(definition: State, states: dict[str, State]) -> Iterator[str]:
    if definition.get("QueryLanguage", "JSONPath") != "JSONPath":
        yield "the machine is not JSONPath"
    if not definition.get("TimeoutSeconds"):
        yield "the machine has no TimeoutSeconds"
    if definition.get("StartAt") not in states:
        yield f"StartAt names no state: {definition.get('StartAt')}"
        return
    reached = _reached(definition["StartAt"], states)
    yield from (f"{name} cannot be reached" for name in states if name not in reached)
    if not any(states[name].get("Type") in ENDS or states[name].get("End") for name in reached):
        yield "no state that can be reached ends the machine"
    yield from _endless(reached, states)


def _reached(start: str, states: dict[str, State]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in states:
            continue
        seen.add(name)
        waiting += following(states[name])
    return seen


def following(state: State) -> list[str]:
    """Every state that this one names, in any way."""
    named = [state.get("Next"), state.get("Default")]
    named += [rule.get("Next") for rule in [*state.get("Choices", []), *state.get("Catch", [])]]
    return [str(name) for name in named if name is not None]


def _endless(reached: Iterable[str], states: dict[str, State]) -> Iterator[str]:
    """From every state that can be reached, an end can be reached; and every circle counts its rounds."""
    for name in reached:
        onward = _reached(name, states)
        if not any(states[n].get("Type") in ENDS or states[n].get("End") for n in onward):
            yield f"{name} leads to no end"
        circle = {n for n in onward if name in _reached_after(n, states)}
        if name in _reached_after(name, states) and not _bounded(circle, states):
            yield f"{name} is in a circle that counts nothing"


def _reached_after(name: str, states: dict[str, State]) -> set[str]:
    return set().union(*(_reached(n, states) for n in following(states[name]))) if name in states else set()


def _bounded(circle: Iterable[str], states: dict[str, State]) -> bool:
    """Some state of the circle adds to a count, and some Choice of it compares that count."""
    counts = {
        state.get("ResultPath", "$") + "." + key.removesuffix(".$")
        for state in (states[name] for name in circle)
        if state.get("Type") == "Pass"
        for key, value in state.get("Parameters", {}).items()
        if str(value).startswith("States.MathAdd(")
    }
    compared = {
        variable
        for name in circle
        for rule in states[name].get("Choices", [])
        for variable, operator in _comparisons(rule)
        if operator.startswith("NumericLessThan")
    }
    return bool(counts & compared)


def _comparisons(rule: State) -> Iterator[tuple[str, str]]:
    for inner in [*rule.get("And", []), *rule.get("Or", [])]:
        yield from _comparisons(inner)
    if "Variable" in rule:
        yield from ((rule["Variable"], key) for key in rule if key not in ("Variable", "Next"))


def _of_state(state: State, states: dict[str, State]) -> Iterator[str]:
    yield from (f"names no state: {name}" for name in following(state) if name not in states)
    kind = state.get("Type")
    if kind not in ("Task", "Map", "Choice", "Wait", "Pass", *ENDS):
        yield f"a {kind} state is not known here"
    if kind not in ("Choice", *ENDS) and ("Next" in state) == bool(state.get("End")):
        yield "has neither or both of Next and End"
    if kind == "Task":
        yield from _of_task(state)
    if kind == "Map":
        yield from _of_map(state)
    if kind == "Choice" and "Default" not in state:
        yield "is a Choice without Default"
    yield from _paths(state)


def _of_task(state: State) -> Iterator[str]:
    if not state.get("TimeoutSeconds"):
        yield "is a Task without TimeoutSeconds"
    if not state.get("Retry"):
        yield "is a Task without Retry"
    for retry in state.get("Retry", []):
        yield from _of_retry(retry)
    if not any(catch.get("ErrorEquals") == ["States.ALL"] for catch in state.get("Catch", [])):
        yield "is a Task that does not catch States.ALL"
    yield from ("catches without keeping its input" for c in state.get("Catch", []) if c.get("ResultPath", "$") == "$")


def _of_map(state: State) -> Iterator[str]:
    """A Distributed Map: its items' own machine is walked like any other; its items end by their tasks' timeouts."""
    processor = state.get("ItemProcessor") or {}
    if not 0 < state.get("MaxConcurrency", 0):
        yield "is a Map without MaxConcurrency"
    if (processor.get("ProcessorConfig") or {}).get("Mode") != "DISTRIBUTED":
        yield "is a Map whose items share the history of its execution"
    if not any(catch.get("ErrorEquals") == ["States.ALL"] for catch in state.get("Catch", [])):
        yield "is a Map that does not catch States.ALL"
    yield from ("catches without keeping its input" for c in state.get("Catch", []) if c.get("ResultPath", "$") == "$")
    inner = {"TimeoutSeconds": 1, **processor}  # the time of a child execution is its tasks'
    yield from (f"in each item, {fault}" for fault in faults(inner))


def _of_retry(retry: State) -> Iterator[str]:
    if not 0 < retry.get("MaxAttempts", 0) <= RETRY_CAP:
        yield f"retries {retry.get('MaxAttempts', 'an unsaid number of')} times"
    if retry.get("JitterStrategy") != "FULL":
        yield "retries without full jitter"
    if retry.get("BackoffRate", 1) <= 1:
        yield "retries without backing off"
    if not retry.get("MaxDelaySeconds"):
        yield "retries without a longest delay"
    yield from (f"retries on {name}, which no error is called" for name in retry["ErrorEquals"] if not _exists(name))


def _exists(name: str) -> bool:
    """An error of ours by its exact class name, or one that AWS documents."""
    ours = getattr(errors, name, None)
    return name in STATES_ERRORS | SERVICE_ERRORS or (isinstance(ours, type) and issubclass(ours, errors.MillraceError))


def _paths(value: Any) -> Iterator[str]:
    """What ends in `.$` must be a path or an intrinsic function."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else []):
        given_as_path = str(key).endswith(".$")
        if given_as_path and not (str(inner).startswith("States.") or _PATH.match(str(inner))):
            yield f"{key} is no path: {inner}"
        yield from _paths(inner)


def walk(machine: dict[str, Any], data: dict[str, Any], answers: dict[str, Any]) -> list[str]:
    """Run a machine of ours with given answers; the states that it went through, the conclusion or the end last.

    `answers`: by the name of the state; an exception is raised, of a list each time the next, a missing one is {}.
    `plan` stays as `data` has it.
    """
    data, left = dict(data), {name: list(a) if isinstance(a, list) else [a] for name, a in answers.items()}
    name, seen = machine["StartAt"], list[str]()
    for _ in range(10_000):
        seen.append(name)
        if name.startswith("Conclude") or machine["States"][name].get("End") or machine["States"][name]["Type"] in ENDS:
            return seen
        told = left.get(name, [{}])
        name = _step(machine["States"][name], told.pop(0) if len(told) > 1 else told[0], data)
    raise AssertionError("The machine did not end.")


def _step(state: dict[str, Any], answer: Any, data: dict[str, Any]) -> str:
    if isinstance(answer, Exception):
        return str(state["Catch"][0]["Next"])
    key = str(state.get("ResultPath") or "$.").removeprefix("$.")
    if state["Type"] == "Task" and key != "plan" and key:
        data[key] = answer
    if state["Type"] == "Pass":
        counted = {"count": data.get(key, {}).get("count", 0) + 1}
        data[key] = state["Result"] if "Result" in state else counted
    if state["Type"] == "Choice":
        return str(next((r["Next"] for r in state["Choices"] if _holds(r, data)), state["Default"]))
    return str(state["Next"])


def _holds(rule: dict[str, Any], data: dict[str, Any]) -> bool:
    if "And" in rule or "Or" in rule:
        every = all if "And" in rule else any
        return every(_holds(inner, data) for inner in rule.get("And", rule.get("Or")))
    value: Any = data
    for part in rule["Variable"].removeprefix("$.").split("."):
        value = value[part]
    compare = {
        "StringEquals": lambda wanted: value == wanted,
        "StringMatches": lambda wanted: fnmatchcase(value, wanted),
        "BooleanEquals": lambda wanted: value is wanted,
        "NumericLessThan": lambda wanted: value < wanted,
    }
    return all(check(rule[operator]) for operator, check in compare.items() if operator in rule)
