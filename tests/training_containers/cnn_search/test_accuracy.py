"""What a search is worth: whole search jobs on digits, each with a stratified split of its own.

One split by default; all five with MILLRACE_LONG=1, which is what the README's figure is of.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest

from .conftest import job, run

SPLITS = 5 if os.environ.get("MILLRACE_LONG") else 1
LIMIT_S = 180
"""Of one search on 2 free cores."""
ASKED = {"target_accuracy": 0.995, "rounds": 2, "population": 6, "finalists": 2, "seeds": 3, "baselines": False}


@pytest.mark.timeout(1200)
def test_a_search_on_digits_reaches_985_of_1000_on_images_that_nobody_chose_by(channel: Path, tmp_path: Path) -> None:
    accuracies, seconds = [], []
    for split in range(SPLITS):
        began = time.monotonic()
        lines = run(job(tmp_path / str(split), channel, "cnn-search", split_seed=split, seed=split, **ASKED))
        seconds.append(time.monotonic() - began)
        accuracies.append(lines[-1]["metrics"]["test_accuracy"])

    print({"test_accuracy": accuracies, "mean": statistics.fmean(accuracies), "seconds": [round(s) for s in seconds]})
    assert statistics.fmean(accuracies) >= (0.985 if SPLITS == 5 else 0.97)
    if os.environ.get("MILLRACE_LONG"):  # a long run is made on a machine that is left alone
        assert max(seconds) <= LIMIT_S
