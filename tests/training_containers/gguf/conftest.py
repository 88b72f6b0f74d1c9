"""One random Phi-3, its adapter and everything made of them, once a session."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training_containers.gguf import phi3
from training_containers.common import manifest
from training_containers.common.job import Job
from training_containers.gguf import converter, merge, quantize

LADDER = ["Q8_0", "Q4_K_M"]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phi3.base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phi3.adapter(tmp_path_factory.mktemp("adapter"), base)


@pytest.fixture(scope="session")
def llama_cpp() -> Path:
    """llama.cpp's converter, where set-up puts it; fetched when it is not there yet."""
    converter.fetch(converter.folder())
    return converter.folder()


@pytest.fixture(scope="session")
def merged(base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("merged")
    merge.merge(base, adapter, to)
    return to


@pytest.fixture(scope="session")
def converted(base: Path, merged: Path, llama_cpp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with f16.gguf and base.gguf as the converter leaves them; both converted at once."""
    folder = tmp_path_factory.mktemp("converted")
    wanted = {folder / "f16.gguf": merged, folder / "base.gguf": base}
    running = {to: converter.start(model, to) for to, model in wanted.items()}
    for to, process in running.items():
        converter.finish(process, to)
    return folder


@pytest.fixture(scope="session")
def f16(converted: Path) -> Path:
    return quantize.without_space_prefix(converted / "f16.gguf", converted / "f16-no-prefix.gguf")


@pytest.fixture
def played(converted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The converter plays what it wrote for the same models before: it takes 4 s to import torch each time."""

    def start(model: Path, to: Path) -> None:
        shutil.copyfile(converted / to.name, to)

    monkeypatch.setattr(converter, "start", start)
    monkeypatch.setattr(converter, "finish", lambda _, to: to)
    return converted


def job_folder(root: Path, base: Path, adapter: Path, rows: int = 12, **hyperparameters: Any) -> Job:
    """A job as SageMaker lays it out; base and adapter are linked, not copied."""
    given = {"strategy": "gguf", "ladder": LADDER, "kl_max": 0.2, "top_token_agreement_min": 0.4, "max_new_tokens": 24}
    config = root / "input" / "config"
    config.mkdir(parents=True)
    values = {name: json.dumps(value) for name, value in (given | hyperparameters).items()}
    (config / "hyperparameters.json").write_text(json.dumps(values))
    data = root / "input" / "data"
    (data / "test").mkdir(parents=True)
    (data / "base").symlink_to(base)
    (data / "model").symlink_to(adapter)
    texts = phi3.sentences(2 * rows, seed=11)
    lines = [json.dumps({"id": f"e{i}", "source": texts[2 * i], "target": texts[2 * i + 1]}) for i in range(rows)]
    (data / "test" / "data.jsonl").write_text("\n".join(lines))
    return Job(root)


def add_evaluation(job: Job) -> None:
    """The result of the evaluation step; the base is said to have written the targets."""
    rows = [json.loads(line) for line in (job.channel("test") / "data.jsonl").read_text().splitlines()]
    folder, source = job.channel("evaluation"), Path(__file__).parent
    folder.mkdir()
    told = [{"id": row["id"], "base_output": row["target"]} for row in rows]
    (folder / "evaluation.json").write_text(json.dumps({"examples": told}))
    manifest.write(folder, format="evaluation", strategy="e", metrics={}, hyperparameters={}, source=source)


def run_job(root: Path) -> subprocess.CompletedProcess[str]:
    """The container's own command line, in a process of its own."""
    command = [sys.executable, "-m", "training_containers.common.main", "gguf", "--root", str(root)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="session")
def finished(base: Path, adapter: Path, llama_cpp: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A whole job, run once, whose result several tests look at."""
    job = job_folder(tmp_path_factory.mktemp("job"), base, adapter)
    add_evaluation(job)
    done = run_job(job.root)
    assert done.returncode == 0, done.stderr
    (job.root / "stdout").write_text(done.stdout)
    return job
