"""An archive of 100 GB is indexed in the memory, and nearly the requests, that one of 1 MB takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from millrace.datasets.directory import MAX_ARCHIVE_BYTES
from millrace.datasets.indexing import Index

from tests.fakes import LONG
from tests.millrace.datasets.sparse import File, Sparse

ROOT = Path(__file__).parents[3]
MEMBERS = 1_000_000 if LONG else 30_000
_SCRIPT = """
import json, sys
from millrace.datasets.indexing import Index
from tests.millrace.datasets.sparse import Sparse
from tests.millrace.datasets.verdicts import peak_bytes
archive = Sparse(int(sys.argv[1]), int(sys.argv[2]))
with Index(archive, archive.size) as index:
    plan, layout = index.plan()
    slices = sum(1 for _ in index.slices(plan, layout))
rss = peak_bytes()
told = dict(size=archive.size, requests=archive.requests, fetched=archive.fetched_bytes, items=plan.items)
print(json.dumps({**told, "slices": slices, "classes": len(plan.classes), "rss": rss}))
"""


def indexed(members: int, each: int) -> dict[str, Any]:
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", _SCRIPT, str(members), str(each)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_memory_is_flat_from_a_megabyte_to_a_hundred_gigabytes() -> None:
    large = indexed(MEMBERS, (MAX_ARCHIVE_BYTES - 10**9) // MEMBERS)
    small = indexed(MEMBERS, 1)

    print(
        f"{large['size'] / 1e9:.0f} GB with {large['items']:,} images: {large['requests']} requests, "
        f"{large['fetched'] / 1e6:.1f} MB read, {large['slices']} slices, RSS {large['rss'] / 2**20:.0f} MiB "
        f"({small['rss'] / 2**20:.0f} MiB for {small['size'] / 1e6:.0f} MB)"
    )
    assert large["size"] > 100e9 and large["items"] == small["items"] == MEMBERS and large["classes"] == 100
    assert large["requests"] == small["requests"] <= 3 + large["fetched"] // (4 * 2**20) + 1
    assert large["fetched"] < 100 * MEMBERS
    assert abs(large["rss"] - small["rss"]) < 16 * 2**20 and large["rss"] < 256 * 2**20


def test_the_archive_that_is_nowhere_is_one_to_zipfile_too() -> None:
    archive = Sparse(300, 2_000)
    with zipfile.ZipFile(File(archive)) as opened:  # type: ignore[arg-type]
        listed = {info.filename: (info.header_offset, info.file_size) for info in opened.infolist()}
        assert opened.testzip() is None

    with Index(archive, archive.size) as index:
        assert {member.path: (member.header, member.size) for member in index.members()} == listed
