"""Every benchmark, or those that are named, and the page of their figures.

`python -m tests.bench [name ...] [--attempts n]`: each `bench_<name>.py` beside this file offers `run()`, whose result
holds the raw samples, and `table(result)`. What is included and excluded is said in its docstring, which the page
repeats. Raw results lie in .millrace/bench; the page is written from all of them, whoever ran today.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RAW = ROOT / ".millrace" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
NAMES = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
_HEAD = """# Benchmarks

Written by `make bench`; `make bench ONLY=router` measures one anew. Every figure was measured in one run with its peers
and its floor, in shuffled rounds, after the results of all arms were found equal. A run whose floor moved by more than
20 % is void: its figures stand here so that they can be seen, and say nothing. Raw samples lie in `.millrace/bench`.
"""


def machine() -> str:
    """Its class in words; no name of it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({kind}), {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    place = Path("/proc/cpuinfo")
    return place.read_text(encoding="utf-8").splitlines() if place.exists() else []


def measure(name: str, attempts: int) -> dict[str, Any]:
    """The first run that is not void, or the last."""
    module = import_module(f"tests.bench.bench_{name}")
    voided = 0
    for _ in range(attempts):
        load, result = os.getloadavg()[0], module.run()
        if not result.get("void"):
            break
        voided += 1
    when = datetime.now(UTC).date().isoformat()
    told = {"when": when, "machine": machine(), "load": load, "voided": voided, "result": result}
    RAW.mkdir(parents=True, exist_ok=True)
    (RAW / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    return told


def section(name: str, told: dict[str, Any]) -> str:
    module = import_module(f"tests.bench.bench_{name}")
    title, _, body = str(module.__doc__).strip().partition("\n\n")
    result = told["result"]
    head = f"## {title.rstrip('.')}"
    void = "**Void: the floor moved by more than 20 %.** " if result.get("void") else ""
    where = f"{void}Measured {told['when']} on {told['machine']}; load before it {told['load']:.1f}."
    earlier = told["voided"] - bool(result.get("void"))
    if earlier:
        where += f" {earlier} earlier {'run was' if earlier == 1 else 'runs were'} void."
    return "\n\n".join([head, where, module.table(result), body.strip()])


def page() -> str:
    found = {name: RAW / f"{name}.json" for name in NAMES}
    parts = [section(name, json.loads(path.read_text("utf-8"))) for name, path in found.items() if path.exists()]
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        parts.append(f"Not measured on this machine yet: {', '.join(missing)}.")
    return "\n\n".join([_HEAD.strip(), *parts]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, and write the page.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar=f"{{{','.join(NAMES)}}}")
    parser.add_argument("--attempts", type=int, default=2, help="runs at most, until one is not void")
    parser.add_argument("--page", action="store_true", help="only write the page")
    asked = parser.parse_args()
    for name in [] if asked.page else asked.names or NAMES:
        told = measure(name, asked.attempts)
        print(section(name, told), end="\n\n", flush=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
