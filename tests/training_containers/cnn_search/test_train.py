"""Where a network is trained."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from millrace.errors import InvalidInput

from tests.training_containers.cnn_search.conftest import ROOT
from training_containers.cnn_search.train import device_for

GPU = """
import training_containers.cnn_search.search
import torch

def opened():
    raise SystemExit("CUDA was opened: what is forked later cannot open it again.")

torch.cuda._is_compiled = lambda: True
torch.cuda._device_count_nvml = lambda: 1
torch._C._cuda_getDeviceCount = opened
print(training_containers.cnn_search.train.device_for("auto"))
"""


def test_a_gpu_is_found_without_opening_it_for_trials_are_forked_later() -> None:
    """J2, S3: on a machine of which PyTorch believes that it has one."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}", "OMP_NUM_THREADS": "1"}

    done = subprocess.run([sys.executable, "-c", GPU], env=env, capture_output=True, text=True, timeout=120)

    assert (done.stdout.strip(), done.returncode) == ("cuda", 0), done.stderr


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """J2."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    assert device_for("auto") == device_for("cpu") == "cpu"
    with pytest.raises(InvalidInput, match=rf"There is no device '{name}' on this machine; there is cpu\."):
        device_for(name)
