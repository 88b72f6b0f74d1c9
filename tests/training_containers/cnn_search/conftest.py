"""The digits as a channel, once a session, and jobs that run as their container would run them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from millrace import contract

from tests.training_containers.cnn_search import digits
from training_containers.common import main
from training_containers.common.job import Job

ROOT = Path(__file__).parents[3]
QUICK = {"target_accuracy": 0.9, "rounds": 1, "population": 2, "oversample": 1.0, "rungs": [1.0], "seeds": 1}
QUICK |= {"finalists": 1, "baselines": False, "max_epochs": 3, "workers": 1}


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 1,797 digits."""
    return digits.channel(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fourth."""
    return digits.channel(tmp_path_factory.mktemp("small"), every=4)


def job(root: Path, train: Path, strategy: str, **hyperparameters: Any) -> Job:
    """The folders of a job; more channels are put in by the caller."""
    path = root / contract.HYPERPARAMETERS
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"strategy": strategy} | hyperparameters
    path.write_text(json.dumps({name: json.dumps(value) for name, value in told.items()}))
    data = root / contract.DATA
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "train").exists():
        (data / "train").symlink_to(train)
    return Job(root)


def put(made: Job, channel: str, source: Path) -> Job:
    shutil.copytree(source, made.channel(channel))
    return made


def start(made: Job) -> subprocess.Popen[str]:
    """The container's own command line."""
    command = [sys.executable, "-m", "training_containers.common.main", "cnn_search", "--root", str(made.root)]
    paths = f"{ROOT}:{ROOT / 'shared'}"
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(made: Job) -> list[dict[str, Any]]:
    """The lines that it said; it must end well."""
    process = start(made)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors + (made.root / contract.FAILURE).read_text()
    return [json.loads(line) for line in out.splitlines()]


def refused(made: Job) -> str:
    """The sentence that it ends with; it must fail. In this process: nothing is trained."""
    threads = torch.get_num_threads()
    try:
        assert main.run("cnn_search", made) == 1
    finally:
        torch.set_num_threads(threads)
    return (made.root / contract.FAILURE).read_text()
