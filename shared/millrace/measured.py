"""What models did on the golden set, as it was measured: `measured.toml`, which the guide to the models shows.

`python -m millrace.measured` measures the rules here. `millrace models replay <id> --json`, piped into
`python -m millrace.measured -`, gives the figures of a model and its successor as your stack measured them.
Nothing here is an estimate: a model that nobody measured has no row.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .golden import golden
from .text.faithfulness import verify
from .text.rules import rewrite
from .text.scores import score

FILE = Path(__file__).with_name("measured.toml")
ROUNDS = 5


@dataclass(frozen=True)
class Measured:
    golden: int
    """Version of the set."""
    texts: int
    faithful: int
    ai_likeness: float
    readability: float
    latency_ms: float
    """Median."""
    cost_usd: float
    at: str


def known() -> dict[str, Measured]:
    """By model; figures of an older golden set are left out."""
    rows = tomllib.loads(FILE.read_text("utf-8")).get("models", {}) if FILE.exists() else {}
    found = {id: Measured(**row) for id, row in rows.items()}
    return {id: row for id, row in found.items() if row.golden == golden().version}


def of_rules(at: str) -> Measured:
    times, scores, faithful = [], [], 0
    for ask in golden().asks.values():
        for _ in range(ROUNDS):
            began = time.perf_counter()
            made = rewrite(ask.text, ask.strength, ask.tone)
            times.append((time.perf_counter() - began) * 1000)
        faithful += verify(ask.text, made.text) == []
        scores.append(score(made.text))
    return Measured(
        golden=golden().version,
        texts=len(golden().asks),
        faithful=faithful,
        ai_likeness=round(statistics.mean(s["ai_likeness"] for s in scores), 4),
        readability=round(statistics.mean(s["readability"] for s in scores), 2),
        latency_ms=round(statistics.median(times), 2),
        cost_usd=0.0,
        at=at,
    )


def of_replay(told: Mapping[str, Any]) -> dict[str, Measured]:
    """Both models of a replay; one that did not answer most texts was not measured."""
    found = {}
    for side in (told["before"], told["after"]):
        if side["failed"] <= side["texts"] // 2:
            same = {name: side[name] for name in Measured.__dataclass_fields__ if name in side}
            found[side["model_id"]] = Measured(golden=told["golden"], at=told["at"][:10], **same)
    return found


def written(rows: Mapping[str, Measured]) -> str:
    parts = ["# Written by `python -m millrace.measured`; see there."]
    for id in sorted(rows):
        fields = (f"{name} = {json.dumps(getattr(rows[id], name))}" for name in Measured.__dataclass_fields__)
        parts.append("\n".join([f"[models.{json.dumps(id)}]", *fields]))
    return "\n\n".join(parts) + "\n"


def main(given: str, at: str) -> None:
    rows = known() | (of_replay(json.loads(given)) if given else {"rules": of_rules(at)})
    FILE.write_text(written(rows), encoding="utf-8")


if __name__ == "__main__":
    main(sys.stdin.read() if sys.argv[1:] == ["-"] else "", time.strftime("%Y-%m-%d", time.gmtime()))
