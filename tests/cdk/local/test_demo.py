"""The demo on the screen: something moves while it waits, and a log file gets words only."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cdk.local import demo
from cdk.local.bars import WAITING, Bars
from cdk.local.settings import REPO


def _console(terminal: bool) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, force_terminal=terminal, width=120, highlight=False), out


def _job(stage: str | None = None, step: int = 0, steps: int = 0, **more: Any) -> dict[str, Any]:
    progress = {} if stage is None else {"stage": stage, "step": step, "steps": steps, **more}
    return {"state": "running", "progress": progress}


def _shown(bars: Bars) -> list[tuple[str, bool]]:
    return [(task.description, task.total is None) for task in bars._progress.tasks]


def test_a_bar_pulses_before_the_first_stage_and_between_stages() -> None:
    console, _ = _console(terminal=True)
    with Bars(console) as bars:
        assert _shown(bars) == [(WAITING, True)]
        bars.show(_job())
        assert _shown(bars) == [(WAITING, True)]
        bars.show(_job("train", 3, 10, loss=1.5))
        assert _shown(bars) == [("LoRA training", False)]
        assert bars._progress.tasks[0].fields["told"] == "loss 1.500"
        bars.show(_job("train", 10, 10))
        assert _shown(bars) == [("LoRA training", False), (WAITING, True)]
        bars.show(_job("evaluate", 0, 0))
        assert _shown(bars) == [("LoRA training", False), ("evaluation", True)]
        bars.show(_job("evaluate", 5, 5))
        bars.end(_job("gguf", 2, 2))
        assert [name for name, _ in _shown(bars)] == ["LoRA training", "evaluation", "GGUF, quantization, parity"]
    assert list(bars.began_s) == ["train", "evaluate", "gguf"]


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_gets_control_characters(terminal: bool) -> None:
    console, out = _console(terminal)
    with console.status("A text is humanized ..."):
        console.print("a word")
    with Bars(console) as bars:
        bars.show(_job("train", 1, 2))

    assert ("\x1b" in out.getvalue()) is terminal and "a word" in out.getvalue()
    if not terminal:
        assert out.getvalue().split() == ["a", "word"]


class Asked:
    """An API that notes what it is asked."""

    def __init__(self, jobs: list[str]) -> None:
        self.jobs, self.gets, self.posts = jobs, 0, 0

    def get(self, path: str) -> Any:
        self.gets += 1
        return {"items": [{"id": id} for id in self.jobs]}

    def post(self, path: str, body: Any) -> Any:
        self.posts += 1
        return {"id": "asked-for"}


def test_where_nothing_was_new_a_training_is_asked_for_at_once() -> None:
    console, out = _console(terminal=False)
    api: Any = Asked(["old"])

    assert demo._next_job(demo.Run(console), api, {"old"}, accepted=0) == "asked-for"
    assert (api.gets, api.posts) == (0, 1) and "Nothing in the file was new" in out.getvalue()


def test_the_job_of_the_threshold_is_followed_and_none_asked_for() -> None:
    console, _ = _console(terminal=False)
    api: Any = Asked(["new", "old"])

    assert demo._next_job(demo.Run(console), api, {"old"}, accepted=1) == "new" and api.posts == 0


def test_the_shuffled_training_asks_for_what_the_strategy_has() -> None:
    strategies = json.loads((REPO / "training_containers/lora/strategy.json").read_text())["strategies"]
    epochs = strategies["lora-sft"]["hyperparameters"]["properties"]["epochs"]

    assert epochs["minimum"] <= demo.SHORT["epochs"] <= epochs["maximum"]
