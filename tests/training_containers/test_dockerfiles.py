"""The images without an engine: what a Dockerfile copies must be enough to run, and nothing installs at run time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINERS = ("lora", "gguf", "serve", "cnn_search")
LLAMA = ("lora", "gguf", "serve")
"""Those that build llama.cpp."""
ENTRIES = {
    "lora": "training_containers.lora.sft, training_containers.lora.preference, training_containers.lora.evaluate",
    "gguf": "training_containers.gguf.pipeline",
    "serve": "training_containers.serve.server",
    "cnn_search": ", ".join(f"training_containers.cnn_search.{m}" for m in ("search", "native", "transfer", "server")),
}


def dockerfile(name: str) -> str:
    return (ROOT / "training_containers" / name / "Dockerfile").read_text().replace("\\\n", " ")


def final_stage(name: str) -> str:
    return dockerfile(name).rsplit("FROM ", 1)[1]


def copied(name: str, to: Path) -> None:
    """What the final stage copies out of the repository, below `to` as below /."""
    for line in re.findall(r"^COPY (?!--from)(.+)$", final_stage(name), re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            path, below = ROOT / source, to / target.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, below, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                below.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, below)


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_copied_is_enough_to_import_every_entry(name: str, tmp_path: Path) -> None:
    copied(name, tmp_path)
    home = tmp_path / "opt" / "millrace"
    check = "assert 'torch' not in sys.modules" if name == "serve" else ""
    code = f"import sys, {ENTRIES[name]}; print({name!r}); {check}"

    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{home}:{home / 'shared'}", "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == name


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_image_runs_the_contracts_entry_without_root(name: str) -> None:
    stage = final_stage(name)

    entry = json.loads(re.search(r"^ENTRYPOINT (.+)$", stage, re.MULTILINE)[1])  # type: ignore[index]
    assert entry == ["python", "-m", "training_containers.common.main", name]
    assert re.search(r"^USER 1000", stage, re.MULTILINE)
    assert stage.index("USER 1000") > stage.rindex("RUN ")


@pytest.mark.parametrize("name", CONTAINERS)
def test_everything_is_installed_from_a_lock_with_hashes(name: str) -> None:
    text = dockerfile(name)
    installs = [line for line in text.splitlines() if "pip install" in line]

    assert len(installs) == 1 and "--require-hashes" in installs[0] and "--no-deps" in installs[0]
    for lock in re.findall(r"requirements/([\w.-]+\.txt)", text):
        assert "--hash=sha256:" in (ROOT / "requirements" / lock).read_text()
    assert "pip" not in final_stage(name)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_base_image_is_an_argument_and_no_host_is_named(name: str) -> None:
    text = dockerfile(name)

    assert re.search(r"^ARG BASE=", text, re.MULTILINE)
    assert {line for line in text.splitlines() if line.startswith("FROM")} == {"FROM ${BASE} AS build", "FROM ${BASE}"}
    assert "://" not in text


def test_the_portable_build_is_the_one_that_set_up_makes() -> None:
    flags = {flag for flag in re.findall(r"-D\w+=\w+", (ROOT / "Makefile").read_text())}

    for name in LLAMA:
        assert set(re.findall(r"-D\w+=\w+", dockerfile(name))) == flags
