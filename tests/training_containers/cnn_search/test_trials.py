"""Scouts: who goes the whole way, who gives way, and what an attempt that goes on does again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from millrace.architecture import Spec

from training_containers.cnn_search import data
from training_containers.cnn_search.pool import Say
from training_containers.cnn_search.settings import SearchSettings
from training_containers.cnn_search.train import Diverged
from training_containers.cnn_search.trials import Candidate, Harness, Run

EPOCHS = 8


def candidates(*filters: int) -> list[Candidate]:
    made = [
        Spec.model_validate({"blocks": [{"kind": "conv", "filters": n}], "training": {"epochs": EPOCHS}})
        for n in filters
    ]
    return [Candidate(number, spec, "evolution") for number, spec in enumerate(made, 1)]


def scripted(self: Harness, run: Run, say: Say) -> None:
    """By its filters: 4 gives way, 8 goes the whole way in vain, 12 diverges at its own rate, 16 gets there."""
    filters = run.candidate.spec.blocks[0].filters  # type: ignore[union-attr]
    if filters == 12 and run.candidate.source != "retry":
        raise Diverged("NaN.")
    accuracy, last = {4: (0.3, 2 if run.yields else EPOCHS), 8: (0.9, EPOCHS), 12: (0.91, EPOCHS), 16: (0.96, 3)}[
        filters
    ]
    say({"type": "look", "epoch": last, "epochs": EPOCHS, "loss": 1.0, "validation_loss": 1.0, "accuracy": accuracy})


@pytest.fixture
def harness(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Harness, "_work", scripted)
    threads = torch.get_num_threads()
    yield lambda: Harness(data.load(small, 0), SearchSettings(workers=1), tmp_path, "cpu", 512 << 20)
    torch.set_num_threads(threads)


def states(harness: Harness) -> dict[int, tuple[str, int]]:
    return {t.spec.blocks[0].filters: (t.state, t.epochs) for t in harness.history}  # type: ignore[union-attr]


def test_who_gives_way_is_given_back_for_the_rungs_and_what_failed_is_tried_again(harness: Any) -> None:
    """S3, S5."""
    made = harness()

    back = made.scout(candidates(4, 8, 12), 0.95, retries=1)

    assert [one.spec.blocks[0].filters for one in back] == [4]
    assert states(made) == {4: ("stopped", 2), 8: ("completed", EPOCHS), 12: ("completed", EPOCHS)}
    assert [t.source for t in made.history].count("retry") == 1 and [t.state for t in made.history].count("failed") == 1
    assert not made.halve(back, [1.0], 1.0, 0.95) and states(made)[4] == ("completed", EPOCHS)


def test_scouts_end_at_the_target_and_none_is_done_twice(harness: Any) -> None:
    first = harness()
    first.scout(candidates(4, 16, 8), 0.95)

    again = harness()
    again.scout(candidates(4, 16, 8), 0.95)

    assert states(first) == states(again) == {4: ("stopped", 2), 16: ("completed", EPOCHS)}
    assert first.best == 0.96 and first.journal.keys() == again.journal.keys() and len(first.journal) == 2
    assert [line["seconds"] for line in first.journal.values()] == [line["seconds"] for line in again.journal.values()]
