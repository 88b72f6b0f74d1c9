"""What is written is Parquet: pyarrow reads the same rows back."""

from __future__ import annotations

import io
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from millrace.parquet import Kind, write

from tests.fakes import examples

COLUMNS: dict[str, Kind] = {"text": "text", "count": "int", "share": "float"}
ROW = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(st.characters(codec="utf-8"), max_size=30),
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "share": st.none() | st.floats(allow_nan=False),
    }
)


def _read(groups: list[list[dict[str, Any]]]) -> Any:
    return pq.read_table(io.BytesIO(b"".join(write(COLUMNS, groups))))


@examples(150)
@given(st.lists(st.lists(ROW, max_size=12), max_size=4))
def test_pyarrow_reads_what_was_written(groups: list[list[dict[str, Any]]]) -> None:
    table = _read(groups)

    assert table.to_pylist() == [row for group in groups for row in group]
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", "double"]


def test_many_rows_and_groups() -> None:
    groups = [[{"text": f"row {g} {n}", "count": n} for n in range(3_000)] for g in range(20)]

    table = _read(groups)

    assert table.num_rows == 60_000
    assert table.column("text")[59_999].as_py() == "row 19 2999"
    assert table.column("share").null_count == 60_000


def test_each_group_is_written_before_the_next_is_asked_for() -> None:
    asked = []

    def groups() -> Any:
        for number in range(3):
            asked.append(number)
            yield [{"text": "x" * 1000, "count": 1, "share": 0.5}]

    pieces = write(COLUMNS, groups())
    taken = [next(pieces) for _ in range(1 + len(COLUMNS))]

    assert len(taken) == 4 and asked == [0]
