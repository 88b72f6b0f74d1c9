"""Bytecode for an asset, made by a Python of the version that the asset is for: a cold start compiles nothing.

Lambda's disk is read-only, so what an asset does not bring is compiled at every cold start: half of its CPU. The files
are unchecked (no look at the source's date, which is the archive's) and depend on the source alone: fixed hash seed,
fixed place. The source stays beside them: it is what tracebacks show and what pydantic and dataclasses read, and both
fit. Where no such Python is found, the asset goes without, and a sentence says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PLACE = "/var/task"
"""Where Lambda unpacks; the import system puts the real path in its stead."""


@cache
def interpreter(version: str) -> str | None:
    """A Python of this version that runs: ours, on the path, or one of pyenv's."""
    tag = "cpython-" + version.replace(".", "")
    found = [sys.executable, shutil.which(f"python{version}") or ""]
    found += [str(path) for path in sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"), reverse=True)]
    python = next((path for path in found if path and _tag(path) == tag), None)
    if python is None:
        print(f"No Python {version} here: the asset goes without bytecode, cold starts take longer.", file=sys.stderr)
    return python


def _tag(python: str) -> str:
    code = "import sys; print(sys.implementation.cache_tag)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def compiled(folder: Path, version: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the bytecode of every module below `folder`, by name; leaves it there."""
    python = interpreter(version)
    if python is None:
        return
    command = [python, "-S", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"]
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"}
    # What cannot be compiled (templates, code of other versions) is what nobody imports.
    subprocess.run([*command, "-s", folder, "-p", PLACE, folder], env=environment, check=False)
    for path in sorted(folder.rglob("__pycache__/*.pyc")):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def of_sources(files: Iterable[tuple[str, bytes]], folder: Path, version: str) -> Iterator[tuple[str, bytes]]:
    """The bytecode of these modules, which are written into an empty `folder` first."""
    for name, body in files:
        if name.endswith(".py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(body)
    return compiled(folder, version)
