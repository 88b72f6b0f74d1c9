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
LLAMA = ("gguf", "serve")
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
    taken = re.findall(r"pip (?:install|wheel) [^&\n]+", text)

    assert taken and all("--no-deps" in one for one in taken)
    assert all("--require-hashes" in one or "--no-index --no-deps /wheels/" in one for one in taken)
    for lock in set(re.findall(r"requirements/([\w.-]+\.txt)", text)):
        assert "--hash=sha256:" in (ROOT / "requirements" / lock).read_text()
    assert "pip" not in final_stage(name)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_base_image_is_an_argument_and_no_host_is_named(name: str) -> None:
    text = dockerfile(name)

    assert re.search(r"^ARG BASE=", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert "://" not in text


def test_the_portable_build_is_the_one_that_set_up_makes() -> None:
    flags = {flag for flag in re.findall(r"-D\w+=\w+", (ROOT / "Makefile").read_text())}

    for name in LLAMA:
        assert set(re.findall(r"-D\w+=\w+", dockerfile(name))) == flags


def test_llama_cpp_is_compiled_by_the_same_words_in_both_images_so_that_a_cache_compiles_it_once() -> None:
    stages = re.compile(r"^FROM \S+ AS llama\n.+?(?=^FROM )", re.DOTALL | re.MULTILINE)
    (compiled,) = {stage for name in LLAMA for stage in stages.findall(dockerfile(name))}
    assert compiled.count("pip wheel") == 1

    locks = [(ROOT / "requirements" / lock).read_text() for lock in ("serve.txt", "containers.txt")]
    pinned = re.compile(r"^llama-cpp-python==\S+ \\\n +--hash=\S+$", re.MULTILINE)
    assert len({lock for text in locks for lock in pinned.findall(text)}) == 1


def test_nothing_of_the_image_that_trains_adapters_wants_llama_cpp(tmp_path: Path) -> None:
    copied("lora", tmp_path)

    assert not [path for path in tmp_path.rglob("*.py") if "llama_cpp" in path.read_text()]
    assert "llama-cpp-python==/,/--hash/d" in dockerfile("lora")
