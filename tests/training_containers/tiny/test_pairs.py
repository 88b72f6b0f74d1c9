"""docs/examples/pairs.csv: as generated, readable, with its known flaws and no others."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from random import Random

from millrace.evaluation import changes
from millrace.text.faithfulness import verify

from training_containers.tiny import grammar, pairs

FILE = Path(pairs.__file__).parents[2] / "docs" / "examples" / "pairs.csv"


def test_the_committed_file_is_what_its_generator_writes() -> None:
    assert FILE.read_text() == pairs.text()


def test_eight_hundred_good_rows_six_duplicates_and_six_broken_ones() -> None:
    header, *rows = csv.reader(io.StringIO(FILE.read_text()))
    whole = [tuple(row) for row in rows if len(row) == 2 and all(row) and row[0] != row[1] and "\x07" not in row[0]]

    assert header == ["prompt", "completion"] and len(rows) == pairs.ROWS + 6 + len(pairs.BAD)
    assert len(set(whole)) == pairs.ROWS and sum(count - 1 for count in Counter(whole).values()) == 6


def test_every_pair_asks_for_a_change_and_is_faithful() -> None:
    rows = pairs.good()

    unfaithful = [(source, target) for source, target in rows if verify(source, target)]
    assert all(changes(source, target) for source, target in rows)
    assert unfaithful == []


def test_the_base_never_learned_from_a_sentence_of_the_file() -> None:
    r = Random(1)
    learned = {text for e in (grammar.example(r) for _ in range(6000)) for text in (e.source, e.target)}

    assert not learned & {text for row in pairs.good() for text in row}
