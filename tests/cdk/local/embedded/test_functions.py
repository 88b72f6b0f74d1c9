"""Assets are unpacked once a version, and never one for another."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from cdk.local.embedded.functions import KEPT_VERSIONS, unpacked


def asset(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handlers.py", text)
    return packed.getvalue()


def test_each_version_has_a_folder_of_its_own_though_its_bytes_are_gone(tmp_path: Path) -> None:
    folders = [unpacked(tmp_path, asset(f"version = {number}")) for number in range(8)]

    assert [(folder / "handlers.py").read_text() for folder in folders] == [f"version = {n}" for n in range(8)]
    assert unpacked(tmp_path, asset("version = 3")) == folders[3]


def test_old_versions_go(tmp_path: Path) -> None:
    for number in range(KEPT_VERSIONS + 3):
        unpacked(tmp_path, asset(str(number)))

    assert len(list(tmp_path.iterdir())) == KEPT_VERSIONS
