from __future__ import annotations

import csv
import io
import time
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.datapoints import MAX_TEXT
from millrace.drops import Refusal, Row
from millrace.drops.delimited import MAX_RECORD_LINES, Delimited
from millrace.drops.lines import MAX_LINE_BYTES
from millrace.drops.records import NAMES

from tests.fakes import LONG, examples
from tests.millrace.drops import reading
from tests.millrace.drops.reading import Pieces

HEADER = b"prompt,completion\n"


def _read(body: bytes, size: int = 4096) -> list[Row | Refusal]:
    return list(Delimited(Pieces(body, size), {}))


def _rows(body: bytes) -> list[tuple[str, str]]:
    return [(row.source, row.target) for row in _read(body) if isinstance(row, Row)]


def _refusals(body: bytes) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in _read(body) if isinstance(row, Refusal)]


@pytest.mark.parametrize("source", NAMES["source"])
@pytest.mark.parametrize("target", NAMES["target"])
def test_columns_go_by_their_usual_names_in_any_order_and_case(source: str, target: str) -> None:
    body = f"id,{target.upper()}, {source} \n1,after,before\n".encode()
    assert _rows(body) == [("before", "after")]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_spreadsheets_file_is_read_as_it_was_meant(delimiter: str, end: str, encoding: str) -> None:
    rows = [["prompt", "completion"], ["Grüße, 12 €; ja", 'He said "no"'], ["two\nlines", "日本 🙂"]]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)

    assert reading.pairs(out.getvalue().encode(encoding)) == [tuple(row) for row in rows[1:]]


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        (b"", 1, "the file is empty"),
        (b"\n \n\r\n", 1, "the file is empty"),
        (b"prompt,other\na,b\n", 1, "no target column: name the target one of completion, output"),
        (b"a\n", 1, "no source column and no target column: name the source one of prompt"),
        (b"a\n", 1, "; name the target one of completion, output, target"),
        (b"a,Prompt \n", 1, "(there is: a, Prompt )"),
        (HEADER, 1, "the file has a header and no rows"),
        (HEADER + b"\n \n", 1, "the file has a header and no rows"),
        (b"prompt\0,completion\n", 1, "a NUL character"),
        (b'"prompt,completion\na,b\n', 1, "a quote is opened and not closed"),
        (HEADER + b"a\xe9,b\n", 2, "not UTF-8 (byte 0xE9 at position 2); save the file as UTF-8"),
        (HEADER + b"a,b\0\n", 2, "a NUL character"),
        (HEADER + b'ok,fine\n"open,x\n', 3, "a quote is opened and not closed"),
        (HEADER + b'"a"b,c\n', 2, "not CSV"),
        (HEADER + b"a\n", 2, "1 column where the header has 2"),
        (HEADER + b"a,b,c\n", 2, "3 columns where the header has 2"),
        (HEADER + b" ,b\n", 2, "the source is empty"),
        (HEADER + b"a,\n", 2, "the target is empty"),
        (HEADER + b"same, same\n", 2, "source and target are the same"),
        (HEADER + b"x" * (2 * 1024 * 1024) + b",y\n", 2, "the source has 2,097,152 characters; at most 60,000"),
        (HEADER + b"x" * (MAX_LINE_BYTES + 1) + b",y\n", 2, "a line of more than 8 MB"),
        (b"x" * (MAX_LINE_BYTES + 1), 1, "a line of more than 8 MB"),
    ],
)
def test_what_cannot_be_used_says_so_by_line(body: bytes, line: int, says: str) -> None:
    at, reason = _refusals(body)[0]
    assert at == line and says in reason


@pytest.mark.parametrize(
    "bad",
    [
        b"a\xe9,b",
        b"a,b\0",
        b'"a"b,c',
        b"a",
        b"a,b,c",
        b",",
        b'"open,x',
        b"x" * (MAX_LINE_BYTES + 1),
        b'x"y,"',
        b'"\xff',
    ],
)
def test_a_bad_line_costs_itself_and_no_line_after_it(bad: bytes) -> None:
    body = HEADER + b"one,1\n" + bad + b"\n" + b"".join(b"text %d,%d\n" % (n, n) for n in range(400))

    told = _read(body)

    assert len(told) == 402
    assert [row.line for row in told if isinstance(row, Refusal)] == [3]


def test_a_quote_is_closed_again_within_the_longest_record_and_not_after() -> None:
    def body(lines: int) -> bytes:
        return HEADER + b'"' + b"x\n" * (lines - 1) + b'x",y\n' + b"after,it\n"

    assert len(_rows(body(MAX_RECORD_LINES))) == 2
    assert _rows(body(MAX_RECORD_LINES + 2))[-1] == ("after", "it")


def test_text_at_the_limit_is_taken_and_over_it_refused() -> None:
    assert len(_rows(HEADER + b"x" * MAX_TEXT + b",y\n")) == 1
    assert len(_refusals(HEADER + b"x" * (MAX_TEXT + 1) + b",y\n")) == 1


CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=["Cc"]) | st.just("\n"), max_size=12
)


@examples(300)
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8),
    st.sampled_from([",", "\t", ";"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 40),
)
def test_a_well_formed_file_is_read_as_the_csv_module_reads_it(
    rows: list[tuple[str, str, str]], delimiter: str, quoting: int, size: int
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows([("id", "source", "target"), *rows])
    read = list(csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=delimiter))[1:]
    wanted = [(b.strip(), c.strip()) for _, b, c in read if b.strip() and c.strip() and b.strip() != c.strip()]

    told = _read(out.getvalue().encode(), size)

    assert [(row.source, row.target) for row in told if isinstance(row, Row)] == wanted
    reasons = ("empty", "same", "no rows")
    assert all(any(why in row.reason for why in reasons) for row in told if isinstance(row, Refusal))


GARBAGE = st.lists(
    st.sampled_from(
        [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xc3", b"a", b"b,c\n", b'"x,y"', b";", b"\t"]
    )
    | st.binary(max_size=6),
    max_size=40,
).map(b"".join)


@examples(500)
@given(GARBAGE, st.sampled_from([b"", HEADER, HEADER.strip(), b"\xef\xbb\xbf" + HEADER]), st.integers(1, 16))
def test_garbage_never_breaks_the_reader_and_every_record_is_told_once(body: bytes, head: bytes, size: int) -> None:
    told = _read(head + body, size)
    lines = [row.line for row in told]

    assert lines == sorted(set(lines)), "each record is told once, with the line it began on"
    assert told == _read(head + body, 4096), "how the bytes come in makes no difference"
    assert 1 <= len(told) <= len((head + body).split(b"\n"))
    assert all(row.reason for row in told if isinstance(row, Refusal))


@examples(200)
@given(st.lists(st.sampled_from([b"a,b", b"a", b"a,b,c", b",b", b"\xff,b", b"x,y\0", b"a,a"]), min_size=1, max_size=30))
def test_accepted_and_rejected_are_all_the_records_there_are(lines: list[bytes]) -> None:
    told = _read(HEADER + b"\n".join(lines))
    assert [row.line for row in told] == list(range(2, len(lines) + 2))


def _hostile(line: bytes, count: int) -> Iterator[bytes]:
    yield HEADER
    for _ in range(count // 100):
        yield (line + b"\n") * 100


HOSTILE = [b'"', b'"open,x', b'x"y,"z', b"\xff\xff", b"a\0,b", b"," * 50, b'""",', b'"a","b', b'"' * 101, b"a"]


@pytest.mark.parametrize("line", HOSTILE)
def test_a_hundred_thousand_hostile_rows_take_linear_time(line: bytes) -> None:
    def seconds(count: int) -> float:
        began = time.process_time()
        assert sum(1 for _ in Delimited(Pieces(stream=lambda: _hostile(line, count)), {})) >= count // (
            MAX_RECORD_LINES + 2
        )
        return time.process_time() - began

    few = 2_500 if not LONG else 25_000
    seconds(few)  # warm
    small, large = seconds(few), seconds(4 * few)

    assert large < 8 * small + 0.2, "four times the rows, about four times the time"
    assert large / (4 * few) * 100_000 < 12, "a hundred thousand of them in the time of a function, with room"


@pytest.mark.parametrize("line", [b'"', b"x" * 1000, b"a,b"])
def test_memory_is_bounded_by_the_longest_record(line: bytes) -> None:
    tracemalloc.start()
    for _ in Delimited(Pieces(stream=lambda: _hostile(line, 20_000)), {}):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 6 * 1024 * 1024


def test_an_endless_line_is_dropped_as_it_comes() -> None:
    tracemalloc.start()
    told = list(Delimited(Pieces(stream=lambda: chain([HEADER], repeat(b"x" * 65536, 1024), [b"\n", b"a,b\n"])), {}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert told == [Refusal(2, "a line of more than 8 MB"), Row(3, "a", "b")]
    assert peak < 24 * 1024 * 1024


def test_an_open_quote_holds_no_more_than_the_longest_line() -> None:
    tracemalloc.start()
    line = b"x" * 1024 * 1024
    told = list(Delimited(Pieces(stream=lambda: chain([HEADER, b'"'], repeat(line + b"\n", 64))), {}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert {row.line for row in told} == set(range(2, 66)) and all(isinstance(row, Refusal) for row in told)
    assert peak < 64 * 1024 * 1024
