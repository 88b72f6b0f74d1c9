"""Cold start: what it costs to import each function's built asset, against the imports that it cannot do without.

Included: the interpreter's start, the import of the handler's module and of all it pulls in, from the unpacked asset of
stage local as it is built. CPU is user and system time of the whole process, RSS its peak. boto3 comes from the
interpreter's own packages, as it comes with the Lambda runtime, always with its bytecode. A function that asks AWS for
more than its table and its keys at every event imports botocore with its handler; the others when they need it.
Once as the asset is, with the bytecode that it brings, on a disk that is not written to, as Lambda's; once with that
bytecode taken away. Then, as the asset is, the import together with the first request, so that what is merely put off
is seen: over sockets, with a table in memory and a provider that answers at once, both in other processes.
Not included: unpacking, Lambda's own start.
Floors: the interpreter alone, and the bare imports: FastAPI and Mangum for the gateway, a boto3 client for the others.
Every process is its own; arms are shuffled in each round. A run whose floor, the interpreter's median CPU, moved by
more than 20 % between rounds is void.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from tests.bench import cold_first

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".millrace" / "engine" / "bin" / "python"
ROUNDS = 5
STARTS = 7
"""Of the bare interpreter in each round: one takes 15 ms."""
MAX_ASSET = 150_000_000
SDKS = "import openai, anthropic, google.genai, genai_prices"
_CLIENT = "import boto3; boto3.client('dynamodb', region_name='us-east-1')"
_WEB = "import fastapi, mangum"
FLOOR = "interpreter"
STEPS = ("plan", "gate", "register", "deploy", "conclude", "judge")
FUNCTIONS = (
    *("authorize", "export", "index", "ingest", "monitor", "progress", "unpack"),
    *(f"steps.{name}" for name in STEPS),
)
RUNTIME = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "jmespath", "six.py")
"""What the Lambda runtime brings."""
_TOLD = """
import json, sys, time
used = time.process_time()
with open("/proc/self/status") as status:  # getrusage's peak would be that of the process that started this one
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([used, peak, len(sys.modules), globals().get("imported")]))
"""


def arms() -> dict[str, tuple[str, str]]:
    """Name -> (asset, what to run)."""
    found = {
        FLOOR: ("gateway", ""),
        "bare: fastapi, mangum": ("gateway", _WEB),
        "bare: fastapi, mangum, boto3 client": ("gateway", f"{_WEB}\n{_CLIENT}"),
        "gateway": ("gateway", "import functions.gateway.handler"),
        "gateway, every SDK at import": ("gateway", f"import functions.gateway.handler\n{SDKS}"),
        "bare: boto3 client": ("functions", _CLIENT),
    }
    for name in FUNCTIONS:
        module = f"functions.{name}" if name.startswith("steps.") else f"functions.{name}.handler"
        found[name] = ("functions", f"import {module}")
    return found


def unpacked(folder: Path) -> dict[str, Path]:
    """Both assets of stage local as they are built; built anew where the source has changed."""
    from cdk import bundle
    from cdk.stage import STAGES

    found = {}
    for kind in bundle.KINDS:
        archive, _ = bundle.build(kind, STAGES["local"])
        found[kind.name] = folder / kind.name
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(found[kind.name])
    return found


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Raw [CPU seconds, peak RSS in KiB, modules] by arm, without and with bytecode; bytes of the assets."""
    chosen = arms()
    samples: dict[str, dict[str, list[Any]]] = {kind: {name: [] for name in chosen} for kind in ("shipped", "plain")}
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        _compile_runtime()
        assets = unpacked(Path(place))
        first = _first(assets, draw, rounds)
        sizes = {name: _size(folder) for name, folder in assets.items()}
        for kind, told in samples.items():
            if kind == "plain":
                for folder in assets.values():
                    _strip(folder)
            for _ in range(rounds):
                for name in draw.sample(sorted(chosen), len(chosen)):
                    asset, code = chosen[name]
                    for _ in range(STARTS if name == FLOOR else 1):
                        told[name].append(_started(assets[asset], code))
    floor = [sample[0] for told in samples.values() for sample in told[FLOOR]]
    medians = [statistics.median(floor[start : start + STARTS]) for start in range(0, len(floor), STARTS)]
    moved = max(medians) / min(medians) - 1
    return {"samples": samples, "first": first, "bytes": sizes, "floor_moved": moved, "void": moved > 0.2}


def _compile_runtime() -> None:
    """What is compiled already stays; without it each start would compile boto3 anew, which no Lambda does."""
    asked = "import boto3, pathlib; print(pathlib.Path(boto3.__file__).parents[1])"
    found = subprocess.run([PYTHON, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run([PYTHON, "-m", "compileall", "-qq", *(f"{found}/{name}" for name in RUNTIME)], check=False)


def _first(assets: dict[str, Path], draw: random.Random, rounds: int) -> dict[str, list[Any]]:
    """Raw [CPU seconds, peak RSS in KiB, modules, CPU seconds of the import] by arm."""
    told: dict[str, list[Any]] = {name: [] for name in cold_first.ARMS}
    asked = cold_first.events()
    with cold_first.standing() as environment:
        for _ in range(rounds):
            for arm in draw.sample(sorted(told), len(told)):
                asset, module, name, value = cold_first.ARMS[arm]
                code = cold_first.CODE.format(module=module, name=name, value=value)
                more = environment | {"EVENT": json.dumps(asked[arm])}
                told[arm].append(_started(assets[asset], code, more))
    return told


def _strip(folder: Path) -> None:
    for place in list(folder.rglob("__pycache__")):
        shutil.rmtree(place)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _started(asset: Path, code: str, more: dict[str, str] | None = None) -> Any:
    from tests.conftest import ENVIRONMENT

    environment = {**ENVIRONMENT, **(more or {}), "PATH": os.environ["PATH"], "PYTHONPATH": str(asset)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [PYTHON, "-c", f"{code}\n{_TOLD}"], env=environment, cwd=asset, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        raise SystemExit(f"{code!r} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(result: dict[str, Any]) -> str:
    """Medians; the ratio is of CPU, to the bare imports of the function."""
    parts = []
    for kind, told in result["samples"].items():
        cpu = {name: statistics.median(s[0] for s in found) for name, found in told.items()}
        rows = [
            f"{'Without bytecode' if kind == 'plain' else 'As the asset is, with its bytecode'}:",
            "",
            "| arm | CPU ms | worst | RSS MB | modules | CPU over its bare imports |",
            "|---|---|---|---|---|---|",
        ]
        for name, found in told.items():
            worst = max(sample[0] for sample in found)
            rss, modules = (statistics.median(sample[n] for sample in found) for n in (1, 2))
            bare = _bare(name)
            ratio = f"{cpu[name] / cpu[bare]:.2f}" if bare else ""
            rows.append(
                f"| {name} | {cpu[name] * 1e3:.0f} | {worst * 1e3:.0f} | {rss / 1024:.0f} | {modules:.0f} | {ratio} |"
            )
        parts.append("\n".join(rows))
    parts.append(_first_table(result["first"]))
    sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in result["bytes"].items())
    fits = "yes" if max(result["bytes"].values()) <= MAX_ASSET else "no"
    over = [name for name in (*FUNCTIONS, "gateway") if _ratio(result, name) > 1.3]
    parts.append(f"Assets unzipped: {sizes}; at most 150 MB each: {fits}.")
    parts.append(f"At most 1.3 times the bare imports, as the asset is: {'no: ' + ', '.join(over) if over else 'yes'}.")
    state = "void" if result["void"] else "holds"
    parts.append(f"The interpreter's CPU moved by {result['floor_moved']:.0%} between rounds: the run {state}.")
    return "\n\n".join(parts)


def _first_table(told: dict[str, list[Any]]) -> str:
    rows = [
        "As the asset is, with the first request:",
        "",
        "| arm | CPU ms | worst | of it the import | RSS MB | modules |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in told.items():
        cpu, rss, modules, imported = (statistics.median(sample[n] for sample in found) for n in range(4))
        worst = max(sample[0] for sample in found)
        row = f"{cpu * 1e3:.0f} | {worst * 1e3:.0f} | {imported * 1e3:.0f} | {rss / 1024:.0f} | {modules:.0f}"
        rows.append(f"| {name} | {row} |")
    return "\n".join(rows)


def _bare(name: str) -> str:
    if name.startswith("gateway"):
        return "bare: fastapi, mangum"
    return "bare: boto3 client" if name in FUNCTIONS else ""


def _ratio(result: dict[str, Any], name: str) -> float:
    told = result["samples"]["shipped"]
    own, bare = (statistics.median(sample[0] for sample in told[one]) for one in (name, _bare(name)))
    return float(own / bare)


if __name__ == "__main__":
    measured = run()
    print(table(measured))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(measured), encoding="utf-8")
