"""What assets are made of: locked wheels and our source for a Lambda function, without Docker; a folder for images.

Wheels change seldom and weigh 100 MB, source changes often and weighs 1: the wheels are zipped once per lock, and
the source is appended to a copy. All lie under .millrace/assets by content hash; the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from . import bytecode
from .stage import Stage

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".millrace" / "assets"
_FORMAT = "2"
"""Raise when the way of packing changes, so that no older archive is taken for a new one."""
_KEPT = 4
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DROPPED = ("__pycache__", "tests", "bin")
"""Folders of a wheel that no function ever imports."""
_HOST_ONLY = ("UV_CONSTRAINT", "VIRTUAL_ENV", "PYTHONPATH")


@dataclass(frozen=True)
class Kind:
    """One of the two assets: a lock file, and the packages of ours that run on it."""

    name: str
    sources: tuple[tuple[str, str], ...]
    """(folder in the repository, folder in the asset)."""
    excluded: tuple[str, ...] = ()
    """Folders below a source that belong to the other asset."""


GATEWAY = Kind(
    "gateway",
    (("shared/millrace", "millrace"), ("functions", "functions")),
    excluded=tuple(
        f"functions/{name}"
        for name in ("authorize", "export", "index", "ingest", "monitor", "progress", "steps", "unpack")
    ),
)
FUNCTIONS = Kind(
    "functions",
    (("shared/millrace", "millrace"), ("functions", "functions")),
    excluded=("functions/gateway", "functions/console", "functions/propose", "functions/rewrite"),
)
KINDS = (GATEWAY, FUNCTIONS)
IMAGE_LOCKS = ("cnn.txt", "containers.txt", "serve.txt", "torch.txt", "torch-cpu.txt")


def build(kind: Kind, stage: Stage) -> tuple[Path, str]:
    """The archive of one asset and the hash of its content."""
    wheels, wheels_key = _wheels(kind, stage)
    files = [(name, path.read_bytes()) for path, name in _source(kind)]
    key = _digest([_FORMAT, wheels_key, *(f"{name}\0{hashlib.sha256(body).hexdigest()}" for name, body in files)])
    target = CACHE / f"{kind.name}-{key[:32]}.zip"
    if not target.exists():
        with _staged(target) as part, tempfile.TemporaryDirectory() as folder:
            shutil.copyfile(wheels, part)
            _append(part, [*files, *bytecode.of_sources(files, Path(folder), stage.python)])
        _forget(f"{kind.name}-*.zip")
    return target, key


def context() -> Path:
    """The folder that images are built from, laid out like the repository: what the Dockerfiles copy and no more.

    A folder of its own, since the repository's root holds environments of 60,000 files to look through.
    """
    files = [
        (f"{folder}/{name}", path.read_bytes())
        for folder in ("shared/millrace", "training_containers")
        for path, name in _kept(ROOT / folder)
        if not name.startswith("tiny/")
    ]
    files += [(f"requirements/{name}", (ROOT / "requirements" / name).read_bytes()) for name in IMAGE_LOCKS]
    target = CACHE / f"context-{_digest(f'{name} {hashlib.sha256(body).hexdigest()}' for name, body in files)[:32]}"
    if not target.exists():
        with _staged(target) as part:
            for name, body in files:
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                (part / name).write_bytes(body)
        _forget("context-*")
    return target


def _wheels(kind: Kind, stage: Stage) -> tuple[Path, str]:
    lock = ROOT / "requirements" / f"{kind.name}.txt"
    compiles = "compiled" if bytecode.interpreter(stage.python) else "plain"
    key = _digest([_FORMAT, _file_hash(lock), stage.python, stage.python_platform or sys.platform, compiles])
    target = CACHE / f"wheels-{kind.name}-{key[:32]}.zip"
    if not target.exists():
        with tempfile.TemporaryDirectory() as folder, _staged(target) as part:
            _install(lock, stage, Path(folder))
            files = [(name, path.read_bytes()) for path, name in _kept(Path(folder))]
            _append(part, [*files, *_without(bytecode.compiled(Path(folder), stage.python))])
    return target, key


def _forget(pattern: str) -> None:
    """Every change of the source leaves an archive: the newest few are kept."""
    for old in sorted(CACHE.glob(pattern), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        _remove(old)


def _install(lock: Path, stage: Stage, target: Path) -> None:
    """Only wheels, each checked against the lock; nothing of the package is run."""
    platform = ["--python-platform", stage.python_platform, "--python-version", stage.python]
    where = platform if stage.python_platform else ["--python", sys.executable]
    command = [find_uv_bin(), "pip", "install", "--quiet", "--only-binary", ":all:", "--require-hashes", "--no-deps"]
    environment = {name: value for name, value in os.environ.items() if name not in _HOST_ONLY}
    subprocess.run([*command, *where, "--target", target, "-r", lock], check=True, env=environment)


def _kept(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part in _DROPPED or part.startswith(".") for part in relative.parts):
            yield path, relative.as_posix()


def _without(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """But for what no function imports."""
    return ((name, body) for name, body in files if not set(name.split("/")[:-2]) & set(_DROPPED))


def _source(kind: Kind) -> Iterator[tuple[Path, str]]:
    for source, inside in kind.sources:
        for path, name in _kept(ROOT / source):
            if not any(f"{inside}/{name}".startswith(f"{excluded}/") for excluded in kind.excluded):
                yield path, f"{inside}/{name}"
    for path in sorted((ROOT / "training_containers").glob("*/strategy.json")):
        yield path, f"millrace/strategies.d/{path.parent.name}.json"


def _append(archive: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Names in order, one date, a mode by the name: the archive depends on the files' names and bytes alone."""
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED, compresslevel=6) as zipped:
        for name, body in files:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            zipped.writestr(entry, body)


class _staged:
    """A name beside the target that becomes the target when the block ends well: no half archive is ever taken."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(f"{target.name}.{os.getpid()}.part")

    def __enter__(self) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        _remove(self.part)
        return self.part

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self.target.exists():
            os.replace(self.part, self.target)
        _remove(self.part)


def _remove(path: Path) -> None:
    """A file or a folder, or nothing."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
