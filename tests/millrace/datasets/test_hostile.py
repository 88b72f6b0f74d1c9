"""Archives that mean harm: each is refused with its reason, in time, in bounds, and none stops what judges them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import LONG
from tests.millrace.datasets import verdicts
from tests.millrace.datasets.hostile import Hostile, all_of, damaged

ROOT = Path(__file__).parents[3]
VERDICT_S = 2.0
RSS_BYTES = 256 * 2**20


def judged(archives: Iterable[Hostile], folder: Path) -> tuple[list[dict[str, Any]], int, list[set[str]]]:
    """Verdicts in the order of the archives, peak memory, and what was expected."""
    expected = []
    for number, (_, body, kinds) in enumerate(archives):
        (folder / f"{number:05}").write_bytes(body)
        expected.append(kinds)
    command = [sys.executable, verdicts.__file__, str(folder)]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    *found, last = map(json.loads, done.stdout.splitlines())
    return found, int(last["rss_bytes"]), expected


def test_over_two_hundred_hostile_archives_are_each_refused_with_its_reason(tmp_path: Path) -> None:
    named = [name for name, _, _ in all_of()]
    assert len(named) >= 200 and len(set(named)) == len(named)

    found, rss, expected = judged(all_of(), tmp_path)

    wrong = {
        name: one["kind"] for name, one, right in zip(named, found, expected, strict=True) if one["kind"] not in right
    }
    assert wrong == {}
    assert rss <= RSS_BYTES
    # One may have met a busy moment of the machine.
    slow = [one["name"] for one in found if one["seconds"] > VERDICT_S]
    assert len(slow) <= 1, slow


def test_whatever_bytes_are_changed_nothing_crashes_and_memory_holds(tmp_path: Path) -> None:
    count = 2000 if LONG else 120

    found, rss, _ = judged(damaged(7, count), tmp_path)

    assert len(found) == count and rss <= RSS_BYTES
    assert sum(one["kind"] is not None for one in found) > count // 2


def test_an_honest_archive_is_taken(tmp_path: Path) -> None:
    from tests.millrace.datasets.archives import Entry, Written, picture, zip64, zipped

    members = {f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(4)}
    entries = [Entry(name.encode(), body) for name, body in members.items()]
    honest = [
        ("deflated", zipped(members), {None}),
        ("by records", bytes(Written(entries)), {None}),
        ("zip64", zip64(entries), {None}),
        ("with a comment", bytes(Written(entries, comment=b"made by hand, PK")), {None}),
        ("out of order", bytes(Written(list(reversed(entries)))), {None}),
    ]

    found, _, _ = judged(honest, tmp_path)  # type: ignore[arg-type]

    assert [one["kind"] for one in found] == [None] * len(honest)


@pytest.mark.parametrize("kind", ["bomb", "overlap", "traversal", "duplicate", "link", "encrypted", "two-stories"])
def test_each_class_is_among_them(kind: str) -> None:
    """Against a generator that has lost a class."""
    assert any(kind in kinds for _, _, kinds in all_of())
