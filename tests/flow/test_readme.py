"""Every code block of the README runs as it stands there; addresses are the running twin's."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from cdk.local.settings import REPO
from tests.flow.turning import Turning

pytestmark = pytest.mark.twin
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (REPO / "README.md").read_text(), re.DOTALL | re.MULTILINE)
PROVED_ELSEWHERE = {
    "make demo\n": "test_demo.py",
    "make test\n": "this run",
    "make bench\n": "by hand, it takes minutes",
}
ALREADY = re.compile(r"^make (up|down)\n", re.MULTILINE)
"""The twin of the fixture is up, and goes down with it."""


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in PROVED_ELSEWHERE])
def test_a_block_of_the_readme_runs_as_pasted(turning: Turning, tmp_path: Path, block: str) -> None:
    (tmp_path / ".venv").symlink_to(REPO / ".venv")
    ports = {
        "localhost:8080": f"127.0.0.1:{turning.twin.api_port}",
        "localhost:4566": f"127.0.0.1:{turning.twin.aws_port}",
    }
    script = ALREADY.sub("", block)
    for written, real in ports.items():
        script = script.replace(written, real)
    env = {**os.environ, "MILLRACE_HOME": str(turning.twin.home), "PYTHONPATH": f"{REPO}:{REPO / 'shared'}"}

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":4' not in done.stdout and '"status":5' not in done.stdout
    assert "curl" not in script or done.stdout.strip().startswith("{")


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 5
