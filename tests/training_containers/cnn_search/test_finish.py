"""The end of a job: finalists that fail, and the figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from millrace import contract
from millrace.architecture import Spec, resnet
from millrace.errors import InvalidInput

from tests.training_containers.cnn_search.conftest import QUICK, job, refused
from training_containers.cnn_search import data, finish, search
from training_containers.cnn_search.finish import Finalist, described
from training_containers.cnn_search.pool import Say
from training_containers.cnn_search.settings import NativeSettings
from training_containers.cnn_search.train import Diverged
from training_containers.cnn_search.trials import Candidate, Harness, Run, Spent

LOOK = {"type": "look", "epoch": 1, "epochs": 1, "loss": 1.0, "validation_loss": 1.0, "accuracy": 0.5}


@pytest.fixture
def harness(small: Path, tmp_path: Path) -> Harness:
    threads = torch.get_num_threads()
    made = Harness(data.load(small, 0), NativeSettings(workers=1), tmp_path, "cpu", 512 << 20)
    torch.set_num_threads(threads)
    return made


def finalist(harness: Harness, fails: Callable[[Spec], Exception | None], name: str = "") -> Finalist:
    """One whose trainings fail as they are told to, and are over at once where they do not."""

    def make(run: Run, say: Say) -> bytes | None:
        if (error := fails(run.candidate.spec)) is not None:
            raise error
        say(LOOK)
        return b"weights"

    candidate = Candidate(1, resnet(), "user", name=name)
    return Finalist(candidate, described(harness, candidate), make)


@pytest.mark.parametrize(
    ("code", "fails", "changed"),
    [
        ("memory", lambda spec: MemoryError() if spec.training.batch_size > 32 else None, {"batch_size": 32}),
        (
            "diverged",
            lambda spec: Diverged("NaN.") if spec.training.learning_rate > 0.01 else None,
            {"learning_rate": 0.01},
        ),
    ],
)
def test_a_finalist_of_which_no_seed_came_through_is_trained_with_other_values(
    harness: Harness, code: str, fails: Callable[[Spec], Exception | None], changed: dict[str, float]
) -> None:
    """J8, S5: a network of the user's own too; what is told of it are the values that it was trained with."""
    asked = finalist(harness, fails, name="transfer")

    (trained,), easier = finish._trained(harness, [asked], seeds=2)

    assert not easier

    recipe = trained.finalist.candidate.spec.training.model_dump()
    assert all(recipe[name] <= value for name, value in changed.items())
    assert trained.finalist.described.spec == trained.finalist.candidate.spec
    assert trained.finalist.candidate.source == "retry" and trained.finalist.after
    assert len(trained.lines) == 2 and all(harness.kept(line["key"]).is_file() for line in trained.lines)
    first = harness.journal[f"{asked.candidate.id}-{asked.epochs}-0"]
    assert first["code"] == code


def test_what_failed_is_not_trained_again_by_an_attempt_that_goes_on(harness: Harness) -> None:
    """S3: its line stands for it."""
    finish._trained(harness, [finalist(harness, lambda spec: MemoryError())], seeds=1)
    before = dict(harness.journal)

    finish._trained(harness, [finalist(harness, lambda spec: None)], seeds=1)

    assert harness.journal == before and len(before) == 1 + harness.settings.retries


@pytest.mark.parametrize(("batch_size", "begin_again"), [(16, False), (1024, True)])
def test_a_finalist_that_never_fits_ends_the_job_with_the_code_of_it(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, begin_again: bool
) -> None:
    """J8: what begins the job again reads it (millrace.recovery), and it does so only where a smaller one is left."""

    def full(self: Harness, run: Run, say: Say) -> bytes | None:
        raise MemoryError

    monkeypatch.setattr(Harness, "_work", full)

    sentence = refused(job(tmp_path, small, "cnn-native", batch_size=batch_size, baselines=False, workers=1))

    assert "No finalist could be trained: It needed more memory" in sentence
    assert sentence.startswith(contract.OUT_OF_MEMORY) is begin_again


def test_a_search_of_which_no_candidate_fits_ends_with_the_code_of_it(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Harness, run: Run, say: Say) -> bytes | None:
        raise MemoryError

    monkeypatch.setattr(Harness, "_work", full)

    sentence = refused(job(tmp_path, small, "cnn-search", **QUICK | {"population": 1}))

    assert sentence.startswith(contract.OUT_OF_MEMORY) and "candidates could be trained" in sentence


def test_a_batch_that_no_recipe_takes_is_refused_in_a_sentence(small: Path, tmp_path: Path) -> None:
    """J2."""
    sentence = refused(job(tmp_path, small, "cnn-native", batch_size=4))

    assert sentence == "batch_size: Input should be greater than or equal to 8."


def test_what_the_rounds_took_is_summed_and_their_peaks_are_compared(tmp_path: Path) -> None:
    """S4: a round of yesterday that did not tell it counts as nothing, and is read all the same."""
    for number, told in enumerate(
        (
            {"trainings": 3, "train_s": 5.0, "cpu_s": 7.0, "ram_peak_bytes": 9.0, "gpu_peak_bytes": 0.0},
            {"trainings": 2, "train_s": 1.5, "cpu_s": 2.0, "ram_peak_bytes": 4.0, "gpu_peak_bytes": 6.0},
            None,
        )
    ):
        folder = tmp_path / f"round-{number}"
        folder.mkdir()
        results = {"format": 1, "round": number, "tried": []} | ({"spent": told} if told else {})
        (folder / "results.json").write_text(json.dumps(results))

    assert search.spent(tmp_path) == Spent(trainings=5, train_s=6.5, cpu_s=9.0, ram_peak_bytes=9.0, gpu_peak_bytes=6.0)
    (tmp_path / "round-2" / "results.json").write_text('{"round": 2}')
    with pytest.raises(InvalidInput, match="cannot be understood: 1 faults"):
        search.spent(tmp_path)
