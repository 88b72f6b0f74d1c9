"""The demo, whole: the real base model, the real containers, the real gate. The longest test there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cdk.local.settings import REPO
from tests.flow.turning import a_twin

pytestmark = [pytest.mark.twin, pytest.mark.slow]
BAR = {"content_kept_rate": 0.8, "edit_rate": 0.5}


@pytest.mark.timeout(1500)
def test_the_demo_turns_the_wheel_and_the_gate_refuses_what_it_should(tmp_path: Path) -> None:
    """L1 and the spine of H, C, J, E, Q, R: `make demo` without its set-up."""
    twin = replace(a_twin(tmp_path / "home"), containers=REPO / "training_containers", slots=1)
    env = {**os.environ, **twin.to_env(), "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "shared")])}
    command = [sys.executable, "-m", "cdk.local"]
    try:
        done = subprocess.run([*command, "demo"], cwd=REPO, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    finally:
        subprocess.run([*command, "down"], cwd=REPO, env=env, capture_output=True, check=False)

    record = json.loads((twin.home / "demo.json").read_text())
    steps = {step["name"].split(",")[0].split(":")[0]: step for step in record["steps"]}
    assert record["ok"] is True and len(record["steps"]) == 7
    drop = steps["Drop docs/examples/pairs.csv into the drop folder"]
    assert drop["accepted"] and drop["duplicate"] and drop["rejected"]
    gates = steps["Train"]["gates"]
    for subject in ("adapter", "gguf"):
        figures = gates[subject]["metrics"]
        assert gates[subject]["passed"] and figures["base_edit_rate"] < 0.1 and figures["edit_gain_low"] > 0
        assert all(figures[name] >= bound for name, bound in BAR.items())
    assert gates["adapter"]["metrics"]["loss_ratio"] <= 0.7
    assert steps["Shuffle the targets on purpose and see the gate refuse"]["state"] == "failed"
