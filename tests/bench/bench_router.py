"""Router: what a whole humanize call adds to the model's own time, against other ways to make the same call.

Included: everything between API Gateway's event and the reply as the function gives it: Mangum, FastAPI, the caller,
the catalogue (read every 2 s), choosing, breaker, retries, the budget's hold and its settling, learning, the call
itself, verification, scores, price, the captured data point. Millrace speaks OpenAI's format without the SDK where
nothing streams (`millrace/wire.py`), so that its whole request is held against the bare call of the SDK. The provider
is a mock on loopback in a process of its own that answers at once, in OpenAI's format, one faithful rewrite of a text
of about 75 words; the store is in memory and counts.
Not included: API Gateway, the authorizer, DynamoDB's and Secrets Manager's own time and botocore's, TLS, imports.
Every arm is a process of its own and makes the same request; before any is timed it must answer the same rewrite, and
the mock refuses a request without the text. Each round runs every arm in a new order for a block of calls. CPU is the
arm's own process, threads among them; portkey's server is another process, whose CPU is not counted. A run whose floor
moved by more than 20 % between rounds (medians) is void. On a machine with more work than cores a call that takes
longer than the scheduler's slice waits for its turn, the floor's short ones do not: there p50 says as much about the
neighbours as about the arm, and only CPU compares.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BENCH_ENV = ROOT / ".millrace" / "bench-env"
PORTKEY = BENCH_ENV / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
ROUNDS = 15
CALLS = 40
"""A block's; times ROUNDS are an arm's samples at concurrency 1. Of the floor, whose are short, ten times as many."""
CONCURRENT = 16
MODEL = "gpt-6-luna"
TEXT = (
    "Moreover, it is important to note that we utilize 3 servers in Berlin and 12 in Lisbon. By leveraging "
    "data, organizations can streamline operations and enhance customer experiences. Furthermore, on 4 May 2026 the "
    'team at Northwind said that "nothing was lost", and the cost fell by 18.5% to $4,200 a month. Additionally, this '
    "approach fosters a culture of continuous improvement. Ultimately, embracing change is crucial for long-term "
    "success, and regular reviews play a pivotal role in it."
)
TITLES = {
    "bare": "floor: bare keep-alive POST",
    "openai": "official openai SDK, bare call",
    "fastapi": "FastAPI + Mangum + openai SDK",
    "millrace": "Millrace, every feature on",
    "litellm": "litellm SDK",
    "tensorzero": "tensorzero, embedded",
    "portkey": "@portkey-ai/gateway, its own process",
}
PEERS = ("litellm", "tensorzero")


# DynamoDB reads expressions elsewhere; here each is read once.
@cache
def _actions(expression: str) -> list[tuple[str, str, str]]:
    """(SET, REMOVE or ADD, name, value) of an update expression."""
    found = re.findall(r"(SET|REMOVE|ADD) (.*?)(?= SET | REMOVE | ADD |$)", expression)
    parts = [(verb, *part.replace(" = ", " ").split(), "") for verb, body in found for part in body.split(", ")]
    return [part[:3] for part in parts]


@cache
def _conditions(expression: str) -> list[tuple[Callable[[Any, Any], bool], str, str]]:
    """(what must hold, name, value) of each part of a condition that this benchmark's request makes."""
    found: list[tuple[Callable[[Any, Any], bool], str, str]] = []
    for part in expression.split(" AND ") if expression else []:
        absent, same, most = (re.fullmatch(pattern, part) for pattern in _FORMS)
        if absent:
            found.append((lambda standing, _: standing is None, absent[1], ""))
        elif same:
            found.append((lambda standing, value: standing == value, same[1], same[2]))
        else:
            assert most, f"the store does not know the condition {part!r}"
            found.append(
                (lambda standing, value: not standing or int(standing["N"]) <= int(value["N"]), most[1], most[2])
            )
    return found


_FORMS = (
    r"attribute_not_exists\((\S+)\)",
    r"(\S+) = (\S+)",
    r"\(attribute_not_exists\((\S+)\) OR \1 <= (\S+)\)",
)
_NOTHING = {"N": "0"}


class _Secrets:
    def get_secret_value(self, **_: Any) -> dict[str, str]:
        return {"SecretString": '{"OPENAI_API_KEY": "sk-bench"}'}


def store() -> Any:
    """The table in memory: items by partition, every call counted, captured data points counted and let go."""
    from tests.fakes import FakeDynamo

    class Counting(FakeDynamo):
        def __init__(self) -> None:
            super().__init__()
            self.calls: Counter[str] = Counter()

        def get_item(self, *, Key: Any, **_: Any) -> Any:
            self.calls["get"] += 1
            item = self.items.get((Key["pk"]["S"], Key["sk"]["S"]))
            return {"Item": dict(item)} if item else {}

        def put_item(self, *, Item: Any, **arguments: Any) -> Any:
            self.calls["put"] += 1
            return {} if "origin" in Item else super().put_item(Item=Item, **arguments)

        def update_item(self, *, Key: Any, **arguments: Any) -> Any:
            self.calls["update"] += 1
            with self._lock:
                self._check(Key, arguments)
                item = self.items.setdefault((Key["pk"]["S"], Key["sk"]["S"]), dict(Key))
                names, values = arguments["ExpressionAttributeNames"], arguments["ExpressionAttributeValues"]
                for verb, alias, value in _actions(arguments["UpdateExpression"]):
                    if verb == "SET":
                        item[names[alias]] = values[value]
                    elif verb == "REMOVE":
                        item.pop(names[alias], None)
                    else:
                        before = item.get(names[alias], _NOTHING)["N"]
                        item[names[alias]] = {"N": str(int(before) + int(values[value]["N"]))}
                return {"Attributes": dict(item)}

        def _check(self, key: Any, arguments: Any) -> None:
            item = self.items.get((key["pk"]["S"], key["sk"]["S"]), {})
            names, values = (
                arguments.get("ExpressionAttributeNames", {}),
                arguments.get("ExpressionAttributeValues", {}),
            )
            for holds, alias, value in _conditions(arguments.get("ConditionExpression", "")):
                if not holds(item.get(names.get(alias, alias)), values.get(value)):
                    super()._check(key, arguments)  # which says how it is refused

        def transact_write_items(self, **arguments: Any) -> Any:
            self.calls["transaction"] += 1
            return super().transact_write_items(**arguments)

        def query(self, *, ExpressionAttributeValues: Any, IndexName: str = "", **arguments: Any) -> Any:
            self.calls["query"] += 1
            owner = ExpressionAttributeValues[":pk"]["S"]
            if IndexName:
                return super().query(
                    ExpressionAttributeValues=ExpressionAttributeValues, IndexName=IndexName, **arguments
                )
            return {"Items": [dict(item) for (pk, _), item in self.items.items() if pk == owner]}

    return Counting()


def stand_up(job: dict[str, Any]) -> Any:
    """The real gateway's handler over the counting store, with the seeded catalogue and one provider's key."""
    from millrace import aws, seeds

    from tests.conftest import ENVIRONMENT
    from tests.fakes import FakeS3

    os.environ.update(ENVIRONMENT, MILLRACE_PROVIDER_URLS=f"openai=http://{job['host']}:{job['port']}/v1")
    kept, objects = store(), FakeS3()
    aws.dynamodb, aws.s3, aws.secretsmanager = (lambda: kept), (lambda: objects), _Secrets  # type: ignore[assignment, return-value]
    from functions import parts
    from functions.gateway.handler import handler
    from functions.gateway.shapes import settings

    seeds.seed(parts.table(settings))
    return handler


# --- driving the arms -------------------------------------------------------------------------------------------------
class Arm:
    """A process that waits for blocks."""

    def __init__(self, name: str, python: str, job: dict[str, Any]) -> None:
        self.name = name
        script = str(ROOT / "tests" / "bench" / "router_arms.py")
        self.process = subprocess.Popen(
            [python, script, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=_environment(),
        )
        self.tell(json.dumps(job))

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def _environment() -> dict[str, str]:
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "DO_NOT_TRACK": "1"}
    return {**os.environ, **offline, "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}"}


def job() -> dict[str, Any]:
    from millrace.catalogue import Entry
    from millrace.providers import Ask
    from millrace.providers.prompt import ask_for
    from millrace.text.rules import rewrite

    talk = ask_for(Entry(MODEL, "openai"), Ask(TEXT))
    messages = [{"role": message.role, "content": message.content} for message in talk.messages]
    return {"host": "127.0.0.1", "model": MODEL, "text": TEXT, "messages": messages, "rewrite": rewrite(TEXT).text}


@contextmanager
def standing() -> Iterator[tuple[dict[str, Arm], dict[str, str]]]:
    """Every arm that can be had, warm and checked, and why the others are absent."""
    asked, absent = job(), {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        provider = Arm("mock", sys.executable, asked)
        stack.callback(provider.close)
        asked["port"] = provider.hear()
        asked["tensorzero"] = str(_tensorzero(Path(folder), asked))
        arms: dict[str, Arm] = {}
        for name in TITLES:
            python = str(BENCH_ENV / "bin" / "python") if name in PEERS else sys.executable
            try:
                if name == "portkey":
                    asked["portkey"] = _portkey(stack)
                arms[name] = Arm(name, python, asked)
                stack.callback(arms[name].close)
                said = arms[name].hear()["said"]
            except (OSError, RuntimeError) as error:
                if name not in (*PEERS, "portkey"):
                    raise
                arms.pop(name, None)
                absent[name] = str(error).strip().splitlines()[-1][:200]
                continue
            if said != asked["rewrite"]:
                raise SystemExit(f"{name} answered something else: {said!r}")
        yield arms, absent


def _tensorzero(folder: Path, asked: dict[str, Any]) -> Path:
    target = folder / "tensorzero.toml"
    target.write_text(
        '[gateway]\nobservability.enabled = false\n[models.bench]\nrouting = ["mock"]\n[models.bench.providers.mock]\n'
        f'type = "openai"\nmodel_name = "{MODEL}"\napi_base = "http://{asked["host"]}:{asked["port"]}/v1/"\n',
        encoding="utf-8",
    )
    return target


def _portkey(stack: ExitStack) -> int:
    if not PORTKEY.exists() or not shutil.which("node"):
        raise RuntimeError("not installed (needs Node and npm)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(["node", PORTKEY, "--headless", f"--port={port}"], **quiet)  # type: ignore[call-overload]
    stack.callback(lambda: (server.kill(), server.wait()))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).read()
            return port
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("its server did not come up within 30 s")


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Raw nanoseconds of every call by arm and concurrency, CPU and wall time by block, and whether it is void."""
    draw = random.Random(0)
    with standing() as (arms, absent):
        measured = {
            str(threads): _rounds(arms, draw, rounds if threads == 1 else max(5, rounds // 3), threads)
            for threads in (1, CONCURRENT)
        }
    medians = [statistics.median(block["ns"]) for block in measured["1"]["bare"]]
    moved = max(medians) / min(medians) - 1
    return {"blocks": measured, "absent": absent, "floor_moved": moved, "void": moved > 0.2, "words": len(TEXT.split())}


def _rounds(arms: dict[str, Arm], draw: random.Random, rounds: int, threads: int) -> dict[str, list[Any]]:
    blocks: dict[str, list[Any]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name in draw.sample(sorted(arms), len(arms)):
            each = (CALLS if threads == 1 else CALLS // 8) * (10 if name == "bare" else 1)
            arms[name].tell(f"{each} {threads}")
            blocks[name].append(arms[name].hear())
    return blocks


# --- figures ----------------------------------------------------------------------------------------------------------
def figures(blocks: Sequence[Any]) -> dict[str, float]:
    """Milliseconds a call; calls per second."""
    taken = sorted(ns / 1e6 for block in blocks for ns in block["ns"])
    calls = len(taken)
    return {
        "calls": calls,
        "p50": statistics.median(taken),
        "p99": taken[min(calls - 1, int(calls * 0.99))],
        "cpu": sum(block["cpu_ns"] for block in blocks) / 1e6 / calls,
        "rate": calls / (sum(block["wall_ns"] for block in blocks) / 1e9),
    }


def table(result: dict[str, Any]) -> str:
    parts = []
    for threads, blocks in result["blocks"].items():
        told = {name: figures(found) for name, found in blocks.items()}
        rows = [
            f"At concurrency {threads}, {told['openai']['calls']:.0f} calls an arm and ten times as many of the floor:",
            "",
            "| arm | p50 ms | p99 ms | CPU ms | calls/s | p50 over the SDK's bare call, ms | p99 over it, ms |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, f in told.items():
            over = f"{f['p50'] - told['openai']['p50']:+.2f} | {f['p99'] - told['openai']['p99']:+.2f}"
            rows.append(
                f"| {TITLES[name]} | {f['p50']:.2f} | {f['p99']:.2f} | {f['cpu']:.2f} | {f['rate']:.0f} | {over} |"
            )
        parts.append("\n".join(rows))
    alone = {name: figures(found) for name, found in result["blocks"]["1"].items()}
    parts.append("\n".join(_aims(alone)))
    parts += [f"Absent: {TITLES[name]}: {why}." for name, why in result["absent"].items()]
    state = "void" if result["void"] else "holds"
    parts.append(f"The floor's medians moved by {result['floor_moved']:.0%} between rounds: the run {state}.")
    return "\n\n".join(parts)


def _aims(told: dict[str, dict[str, float]]) -> list[str]:
    p50, p99 = (told["millrace"][name] - told["openai"][name] for name in ("p50", "p99"))
    rows = ["| aim | measured | met |", "|---|---|---|"]
    rows.append(f"| p50 at most 0.5 ms over the SDK's bare call | {p50:+.2f} ms | {_met(p50 <= 0.5)} |")
    rows.append(f"| p99 at most 3 ms over it | {p99:+.2f} ms | {_met(p99 <= 3.0)} |")
    if "litellm" in told:
        share = told["millrace"]["p50"] / told["litellm"]["p50"]
        rows.append(f"| at most half of litellm's total | {share:.2f} of it | {_met(share <= 0.5)} |")
    cpu = told["millrace"]["cpu"] - told["openai"]["cpu"]
    rows.append(
        f"| the same in CPU, which other work on the machine leaves alone | {cpu:+.2f} ms | {_met(cpu <= 0.5)} |"
    )
    return rows


def _met(held: bool) -> str:
    return "yes" if held else "no"


if __name__ == "__main__":
    measured = run()
    print(table(measured))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(measured), encoding="utf-8")
