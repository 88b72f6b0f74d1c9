"""The container contract from the container's side: folders, settings, failures, the manifest, progress."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from millrace import contract
from millrace.container import Manifest, Metrics, Progress
from millrace.errors import Corrupt, InvalidInput, MillraceError
from millrace.ladder import ran_out

from training_containers.common import main, manifest, progress
from training_containers.common.job import Job


def job(root: Path, **hyperparameters: str) -> Job:
    path = root / contract.HYPERPARAMETERS
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(hyperparameters))
    return Job(root)


def written(model: Path, **values: Any) -> Manifest:
    model.mkdir(parents=True, exist_ok=True)
    (model / "a.bin").write_bytes(b"abc")
    given: dict[str, Any] = {"format": "adapter", "strategy": "s", "metrics": {"loss": 1.0}, "hyperparameters": {}}
    return manifest.write(model, **(given | values), source=Path(manifest.__file__).parent)


def test_hyperparameters_are_decoded_and_what_is_not_json_stays_text(tmp_path: Path) -> None:
    made = job(tmp_path, rank="16", rate="0.5", name='"phi"', plain="phi-3", on="true")

    assert made.hyperparameters == {"rank": 16, "rate": 0.5, "name": "phi", "plain": "phi-3", "on": True}


def test_a_failure_is_one_line_of_at_most_1024_characters(tmp_path: Path) -> None:
    Job(tmp_path).fail("It broke\n  in two. " + "x" * 2000)

    said = (tmp_path / contract.FAILURE).read_text()
    assert said.startswith("It broke in two. x") and len(said) == 1024


def test_the_manifest_lists_every_file_with_its_hash(tmp_path: Path) -> None:
    made = written(tmp_path / "model")

    listed = {file.path: file.sha256 for file in manifest.read(tmp_path / "model").files}
    assert listed == {"a.bin": hashlib.sha256(b"abc").hexdigest()} and made.files[0].size_bytes == 3


def test_a_changed_or_missing_file_is_corrupt(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"abd")

    with pytest.raises(Corrupt, match=r"a\.bin is missing or differs"):
        manifest.read(tmp_path)


def test_a_folder_without_a_manifest_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="did not finish"):
        manifest.read(tmp_path)


def test_the_source_hash_follows_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = manifest.source_sha256(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")

    assert manifest.source_sha256(tmp_path) != first


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container of one strategy whose entry is one of the functions below."""
    folder = tmp_path / "containers" / "mine"
    folder.mkdir(parents=True)
    monkeypatch.setattr(main, "CONTAINERS", folder.parent)
    return folder


def describe(folder: Path, entry: str) -> None:
    (folder / "strategy.json").write_text(json.dumps({"strategies": {"mine": {"entry": f"{__name__}:{entry}"}}}))


def completes(job: Job) -> None:
    written(job.model)


def returns_early(job: Job) -> None:
    pass


def refuses(job: Job) -> None:
    raise InvalidInput("The rows are too few.")


def breaks(job: Job) -> None:
    raise RuntimeError("a kernel is gone")


def runs_out(job: Job) -> None:
    raise MemoryError


def runs_out_in_torch(job: Job) -> None:
    import torch

    torch.empty(2**60, dtype=torch.uint8)


def runs_out_on_a_gpu(job: Job) -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def test_a_strategy_that_writes_its_manifest_exits_0(container: Path, tmp_path: Path) -> None:
    describe(container, "completes")

    assert main.run("mine", job(tmp_path / "root", strategy='"mine"')) == 0


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("returns_early", "The strategy returned without writing its manifest."),
        ("refuses", "The rows are too few."),
        ("breaks", "RuntimeError: a kernel is gone"),
        ("runs_out", "OutOfMemory: the job needs more memory than the machine has."),
    ],
)
def test_every_way_to_fail_leaves_one_sentence_and_exits_1(
    container: Path, tmp_path: Path, entry: str, sentence: str
) -> None:
    describe(container, entry)

    assert main.run("mine", job(tmp_path / "root", strategy='"mine"')) == 1
    assert (tmp_path / "root" / contract.FAILURE).read_text() == sentence


@pytest.mark.parametrize("entry", ["runs_out", "runs_out_in_torch", "runs_out_on_a_gpu"])
def test_a_lack_of_memory_is_said_so_that_the_ladder_is_climbed(container: Path, tmp_path: Path, entry: str) -> None:
    describe(container, entry)

    assert main.run("mine", job(tmp_path / "root", strategy='"mine"')) == 1
    assert ran_out((tmp_path / "root" / contract.FAILURE).read_text())


def test_an_unknown_strategy_is_told_with_the_known_ones(container: Path) -> None:
    describe(container, "completes")

    with pytest.raises(MillraceError, match="no strategy 'other'; it has mine"):
        main.entry("mine", "other")


def test_progress_lines_are_the_contracts_and_the_last_step_is_always_said(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = progress.Reporter(100, every_s=3600)
    for step in range(101):
        reporter.step(step, loss=1.0 / (step + 1), epoch=step / 10)
    progress.metrics({"loss": 0.5})

    *steps, last = capsys.readouterr().out.splitlines()
    assert [Progress.model_validate_json(line).step for line in steps] == [0, 100]
    assert Metrics.model_validate_json(last).metrics == {"loss": 0.5}
