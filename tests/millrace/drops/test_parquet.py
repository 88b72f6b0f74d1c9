from __future__ import annotations

import io
import random
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.datapoints import Turn
from millrace.drops import Refusal, Row

from tests.fakes import LONG, examples
from tests.millrace.drops.reading import in_slices, pairs, refusals, rows, whole

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=12)
CODECS = ("none", "snappy", "gzip", "brotli", "zstd", "lz4")
ENCODINGS = (None, "PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY")


def written(table: pa.Table, **how: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **how)
    return out.getvalue()


def _table(sources: Sequence[str | None], targets: Sequence[str | None], kind: pa.DataType | None = None) -> pa.Table:
    columns = {"id": pa.array(range(len(sources))), "prompt": pa.array(sources, kind or pa.string())}
    return pa.table(columns | {"completion": pa.array(targets, kind or pa.string())})


def _wanted(sources: Sequence[str | None], targets: Sequence[str | None]) -> list[tuple[str, str]]:
    told = zip(sources, targets, strict=True)
    return [(s.strip(), t.strip()) for s, t in told if s and t and s.strip() and t.strip() and s.strip() != t.strip()]


@examples(150)
@given(
    st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS), min_size=1, max_size=60),
    st.sampled_from(CODECS),
    st.sampled_from(ENCODINGS),
    st.sampled_from(["1.0", "2.0"]),
    st.integers(1, 40),
    st.sampled_from([16, 1024, 1 << 20]),
    st.booleans(),
)
def test_what_pyarrow_writes_is_read_as_pyarrow_reads_it(
    told: list[tuple[str | None, str | None]],
    codec: str,
    encoding: str | None,
    version: str,
    group: int,
    page: int,
    index: bool,
) -> None:
    sources, targets = [s for s, _ in told], [t for _, t in told]
    encodings = {"column_encoding": {"prompt": encoding, "completion": encoding}} if encoding else {}
    body = written(
        _table(sources, targets),
        compression=codec,
        use_dictionary=encoding is None,
        data_page_version=version,
        row_group_size=group,
        data_page_size=page,
        write_page_index=index,
        write_batch_size=3,
        **encodings,
    )
    read = pq.read_table(io.BytesIO(body)).to_pydict()

    assert pairs(body) == _wanted(read["prompt"], read["completion"])
    assert [row.line for row in whole(body)] == list(range(1, len(told) + 1))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_kind_of_text_column_is_text(kind: pa.DataType, version: str) -> None:
    table = _table(["a", "b", "a"], ["x", "y", "x"]).cast(
        pa.schema([("id", pa.int64()), ("prompt", kind), ("completion", kind)])
    )

    assert pairs(written(table, data_page_version=version)) == [("a", "x"), ("b", "y"), ("a", "x")]


ROLES = st.sampled_from(["system", "user", "assistant"])
MESSAGES = st.none() | st.lists(st.fixed_dictionaries({"role": ROLES, "content": st.none() | TEXTS}), max_size=4)


@examples(150)
@given(
    st.lists(MESSAGES, min_size=1, max_size=30),
    st.sampled_from(["1.0", "2.0"]),
    st.sampled_from([16, 1 << 20]),
    st.booleans(),
    st.integers(1, 20),
)
def test_chats_are_read_as_they_are_from_json_lines(
    chats: list[list[dict[str, Any]] | None], version: str, page: int, dictionary: bool, group: int
) -> None:
    import orjson

    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    table = pa.table({"messages": pa.array(chats, kind), "n": pa.array([[[1]]] * len(chats))})
    body = written(
        table, data_page_version=version, data_page_size=page, use_dictionary=dictionary, row_group_size=group
    )
    lines = b"".join(orjson.dumps({"messages": chat or None}) + b"\n" for chat in chats)

    assert [_plain(r) for r in whole(body)] == [_plain(r) for r in whole(lines)]


def _plain(record: Row | Refusal) -> Any:
    return (record.line, record.reason) if isinstance(record, Refusal) else record


def test_a_preference_with_a_prompt_of_turns_and_a_struct_round_the_list() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
    table = pa.table(
        {
            "input": pa.array([{"messages": turns}]),
            "preferred_output": pa.array([[{"role": "assistant", "content": "Hi."}]]),
            "non_preferred_output": pa.array([[{"role": "assistant", "content": "Greetings to you."}]]),
        }
    )

    assert rows(written(table)) == [Row(1, "Hello?", "Hi.", "Greetings to you.", (Turn("system", "Be brief."),))]


@examples(60)
@given(st.lists(st.tuples(st.none() | TEXTS, TEXTS), min_size=1, max_size=40), st.integers(1, 15), st.integers(0, 99))
def test_reading_goes_on_at_any_row(told: list[tuple[str | None, str]], group: int, seed: int) -> None:
    body = written(_table([s for s, _ in told], [t for _, t in told]), row_group_size=group, data_page_size=16)

    assert in_slices(body, seed) == whole(body)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (pa.table({"a": ["x"], "b": ["y"]}), "no source column and no target column"),
        (pa.table({"prompt": [1], "completion": ["y"]}), "the column prompt holds INT64, not text"),
        (pa.table({"prompt": [[["x"]]], "completion": ["y"]}), "the column prompt holds no text"),
        (
            pa.table({"prompt": pa.array([], pa.string()), "completion": pa.array([], pa.string())}),
            "columns and no rows",
        ),
    ],
)
def test_a_file_without_our_columns_says_so(table: pa.Table, says: str) -> None:
    ((_, reason),) = refusals(written(table))

    assert says in reason


def test_a_text_that_is_not_utf8_costs_its_row() -> None:
    table = pa.table({"prompt": pa.array([b"\xff", b"fine"], pa.binary()), "completion": ["x", "y"]})

    assert refusals(written(table)) == [(1, "not UTF-8")] and pairs(written(table)) == [("fine", "y")]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_damaged_file_is_refused_and_breaks_nothing(codec: str, version: str) -> None:
    good = written(
        _table([f"source {n}" for n in range(50)], ["same"] * 50), compression=codec, data_page_version=version
    )
    draw = random.Random(version + codec)
    for _ in range(3000 if LONG else 150):
        body = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            body[draw.randrange(4, len(body))] = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
        began = time.process_time()
        told = whole(bytes(body[: draw.choice([len(body), draw.randrange(len(body))])]))
        assert told and time.process_time() - began < 2


def test_a_few_bytes_that_say_they_are_many_rows_are_a_bomb() -> None:
    body = written(pa.table({"prompt": ["a"] * 200_000, "completion": ["b"] * 200_000}))
    assert len(body) < 10_000

    ((_, reason),) = refusals(body)

    assert "200,000 rows, as bombs do" in reason
