"""The manifest: written last, it says what a result is made of and proves that it is whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from millrace import contract
from millrace.container import Manifest, ManifestFile
from millrace.errors import Corrupt


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_sha256(folder: Path) -> str:
    """Hash over names and bytes of the Python and JSON files of a container, in name order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".json")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def write(
    model: Path,
    *,
    format: str,
    strategy: str,
    metrics: dict[str, float],
    hyperparameters: dict[str, Any],
    source: Path,
    base: str | None = None,
) -> Manifest:
    """List every file of `model` and put the manifest beside them, atomically and last."""
    files = [
        ManifestFile(path=p.relative_to(model).as_posix(), sha256=sha256(p), size_bytes=p.stat().st_size)
        for p in sorted(model.rglob("*"))
        if p.is_file() and p.name != contract.MANIFEST
    ]
    manifest = Manifest(
        format=format,
        strategy=strategy,
        files=files,
        metrics=metrics,
        hyperparameters=hyperparameters,
        source_sha256=source_sha256(source),
        base=base,
    )
    part = model / (contract.MANIFEST + ".part")
    part.write_text(manifest.model_dump_json(indent=1))
    os.replace(part, model / contract.MANIFEST)
    return manifest


def read(model: Path, verify: bool = True) -> Manifest:
    """The manifest of a folder, every file checked against it. Corrupt where one is missing or differs."""
    path = model / contract.MANIFEST
    if not path.is_file():
        raise Corrupt(f"{model.name} has no {contract.MANIFEST}: the job that wrote it did not finish")
    manifest = Manifest.model_validate_json(path.read_bytes())
    for file in manifest.files if verify else []:
        target = model / file.path
        if not target.is_file() or sha256(target) != file.sha256:
            raise Corrupt(f"{file.path} is missing or differs from the manifest's SHA-256 {file.sha256[:12]}")
    return manifest
