"""How things are shown: JSON for programs, tables and bars for people. Progress only on a terminal; NO_COLOR holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

GOOD = {"completed", "collected", "active", "ok", "ready"}
BAD = {"failed", "refused", "degraded", "error"}
STAGES = {"train": "training", "evaluate": "evaluating", "gguf": "converting and quantizing"}


def out() -> Console:
    width = None if sys.stdout.isatty() else 100_000  # a program reads lines, not columns
    return Console(file=sys.stdout, highlight=False, width=width)


def err() -> Console:
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def say_json(value: Any, indent: int | None = 2) -> None:
    print(json.dumps(value, indent=indent, ensure_ascii=False), flush=True)


def state(text: str) -> str:
    colour = "green" if text in GOOD else "red" if text in BAD else "yellow" if text == "cancelled" else "cyan"
    return f"[{colour}]{escape(text)}[/]"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Cells are rich markup: escape what came from elsewhere."""
    drawn = Table(*columns, box=None, pad_edge=False, header_style="dim", show_edge=False)
    for row in rows:
        drawn.add_row(*row)
    out().print(drawn)


def facts(values: Mapping[str, Any]) -> None:
    rows = [(f"[dim]{name}[/]", text(value)) for name, value in values.items() if value not in (None, "", {}, [])]
    drawn = Table.grid(padding=(0, 2))
    for row in rows:
        drawn.add_row(*row)
    out().print(drawn)


def text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def stage(name: str) -> str:
    """What a job's container is at; `trials<n>` is round n of a search, counted from one for people."""
    if name.startswith("trials"):
        return f"searching, round {int(name.removeprefix('trials')) + 1}"
    return STAGES.get(name, "waiting")


def doing(progress: Mapping[str, Any]) -> str:
    """What a job is at, in a few words: training, step 34 of 120, loss 0.412, about 41 s left."""
    step, steps, eta_s = progress.get("step"), progress.get("steps"), progress.get("eta_s")
    words = [stage(str(progress.get("stage")))]
    if steps:
        words.append(f"step {step} of {steps}")
    words += [f"{name} {progress[name]:.3g}" for name in ("loss", "accuracy") if isinstance(progress.get(name), float)]
    if eta_s and step != steps:
        words.append(f"about {eta_s:.0f} s left")
    return ", ".join(words)


@contextmanager
def bars() -> Iterator[Progress | None]:
    """Progress bars on stderr; None where nobody watches."""
    console = err()
    if not console.is_terminal:
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress
