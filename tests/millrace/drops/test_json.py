"""JSON Lines and JSON lists, held against the json module."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.drops import Refusal, Row
from millrace.drops.json_list import JsonList
from millrace.drops.lines import MAX_LINE_BYTES

from tests.fakes import examples
from tests.millrace.drops.reading import Pieces, in_slices, pairs, refusals, rows, whole

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
VALUES = st.one_of(TEXTS, st.none(), st.integers(-9, 9), st.lists(TEXTS, max_size=2), st.just({"a": ["]", "}"]}))
RECORDS = st.lists(
    st.fixed_dictionaries({}, optional={"prompt": VALUES, "completion": VALUES, "n": VALUES}) | VALUES, max_size=12
)
INDENTS = st.sampled_from([None, 0, 1, 3])


def _wanted(records: list[Any]) -> list[tuple[str, str]]:
    found = []
    for record in records:
        source, target = (record.get(n) if isinstance(record, dict) else None for n in ("prompt", "completion"))
        if isinstance(source, str) and isinstance(target, str):
            source, target = source.strip(), target.strip()
            found += [(source, target)] if source and target and source != target else []
    return found


@examples(300)
@given(RECORDS, st.booleans())
def test_json_lines_are_read_as_json_reads_each_line(records: list[Any], ascii: bool) -> None:
    body = "".join(
        json.dumps(record, ensure_ascii=ascii) + "\n" for record in [{"prompt": "a", "completion": "b"}, *records]
    )

    told = whole(body.encode())

    assert [(r.source, r.target) for r in told if isinstance(r, Row)] == [("a", "b"), *_wanted(records)]
    assert [r.line for r in told] == list(range(1, len(records) + 2))


@examples(300)
@given(RECORDS, INDENTS, st.booleans(), st.sampled_from([None, "data", "rows"]), st.integers(1, 40))
def test_a_json_list_is_read_as_json_reads_it(
    records: list[Any], indent: int | None, ascii: bool, name: str | None, size: int
) -> None:
    value = records if name is None else {"version": [1, {"data": 2}], name: records, "more": "]"}
    body = json.dumps(value, indent=indent, ensure_ascii=ascii).encode()

    told = list(JsonList(Pieces(body, size), {}))

    assert [(r.source, r.target) for r in told if isinstance(r, Row)] == _wanted(records)
    assert len(told) == max(1, len(records))
    assert len({r.ref for r in told if isinstance(r, Row)}) == len([r for r in told if isinstance(r, Row)])


@examples(100)
@given(RECORDS, INDENTS, st.sampled_from([None, "data"]), st.integers(0, 99))
def test_reading_goes_on_at_any_element(records: list[Any], indent: int | None, name: str | None, seed: int) -> None:
    value = records if name is None else {name: records}
    body = json.dumps(value, indent=indent).encode()

    assert in_slices(body, seed) == whole(body)


PAIR = '{"prompt": "a%d", "completion": "b"}'


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        '{"prompt": "x", "completion": }',
        '{"prompt": "x"',
        '"',
        '{"a": "\\x"}',
        "{" * 300 + "}" * 300,
        "NaN",
    ],
)
def test_a_line_that_is_not_json_costs_itself(bad: str) -> None:
    body = "\n".join([PAIR % 1, bad, PAIR % 2]).encode()

    assert [source for source, _ in pairs(body)] == ["a1", "a2"]
    assert [line for line, _ in refusals(body)] == [2]


@pytest.mark.parametrize(
    "bad", ["nonsense", '{"prompt": }', "{]", '{"a": "\\x"}', "", "[" * 300 + "]" * 300, "Infinity"]
)
def test_an_element_that_is_not_json_costs_itself(bad: str) -> None:
    body = f"[{PAIR % 1},\n{bad},\n{PAIR % 2}]".encode()

    assert [source for source, _ in pairs(body)] == ["a1", "a2"]
    assert [line for line, _ in refusals(body)] == [2]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "the list is empty"),
        (b'{"data": []}', "the list is empty"),
        (b"[1, 2", "the file breaks off before the end of its list"),
        (b'[{"prompt": "a', "the file breaks off"),
        (b"[] more", "there is more after the end of the list"),
        (b"[" + b"1" * (MAX_LINE_BYTES + 5_000_000), "a record of more than 8 MB begins here"),
        (b'{"prompt": 1, "completion": "b"}', "the source is a number, not text"),
        (b'{"prompt": true, "completion": "b"}', "the source is true or false, not text"),
        (b'{"prompt": null, "completion": "b"}', "the source is empty"),
        (b'{"prompt": "a", "completion": ["b"]}', "message 1 is not an object with a role and a content"),
        (b'{"Prompt": "a"}', "no target column: name the target one of completion"),
        (b'{"a": "a\\ud800"}', "not JSON"),
        (b'{"messages": []}', "the chat has 0 messages; 1 to 200 are taken"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', "message 1 has the role 'tool'; known are system, user"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "the last turn is the user's and not the assistant's"),
        (
            b'{"messages": [{"role": "assistant", "content": "x"}]}',
            "no turn of the user's comes right before",
        ),
        (b'{"prompt": "a", "chosen": "b", "rejected": "b"}', "the chosen and the rejected text are the same"),
    ],
)
def test_what_cannot_be_used_says_why(body: bytes, says: str) -> None:
    assert says in refusals(body)[-1][1]


def test_objects_over_several_lines_and_one_after_the_other_are_records() -> None:
    body = (
        json.dumps({"prompt": "a", "completion": "b"}, indent=2) + "\n" + json.dumps({"prompt": "c", "completion": "d"})
    )

    assert pairs(body.encode()) == [("a", "b"), ("c", "d")]
    assert in_slices(body.encode(), 1, 1) == whole(body.encode())


def _chat(*said: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in said]


ASKED = (("system", "Be brief."), ("user", "One?"), ("assistant", "1."), ("user", "Two?"))


@pytest.mark.parametrize(
    "record",
    [
        {"messages": _chat(*ASKED, ("assistant", "2."))},
        {"conversations": [{"from": "human" if r == "user" else r, "value": t} for r, t in (*ASKED, ("gpt", "2."))]},
        {"messages": json.dumps(_chat(*ASKED, ("assistant", "2.")))},
        {"messages": [{"role": r, "content": [{"type": "text", "text": t}]} for r, t in (*ASKED, ("assistant", "2."))]},
        {"prompt": _chat(*ASKED), "completion": _chat(("assistant", "2."))},
        {"prompt": _chat(*ASKED), "completion": "2."},
    ],
)
def test_a_chat_is_its_last_answer_after_its_last_question(record: dict[str, Any]) -> None:
    (row,) = rows(json.dumps(record).encode())

    assert (row.source, row.target, row.rejected) == ("Two?", "2.", None)
    assert [(turn.role, turn.text) for turn in row.context] == list(ASKED[:-1])


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Q", "chosen": "good", "rejected": "bad"},
        {"prompt": "Q", "completion": "good", "rejected": "bad"},
        {"chosen": _chat(("user", "Q"), ("assistant", "good")), "rejected": _chat(("user", "Q"), ("assistant", "bad"))},
        {"prompt": "Q", "chosen": _chat(("assistant", "good")), "rejected": _chat(("assistant", "bad"))},
        {
            "input": {"messages": _chat(("user", "Q"))},
            "preferred_output": _chat(("assistant", "good")),
            "non_preferred_output": _chat(("assistant", "bad")),
        },
    ],
)
def test_a_preference_has_a_text_that_was_not_chosen(record: dict[str, Any]) -> None:
    assert rows(json.dumps(record).encode()) == [Row(1, "Q", "good", "bad")]


def test_an_instruction_is_told_with_its_input() -> None:
    told = b'{"instruction": "Shorten.", "input": "in order to", "output": "to"}\n'
    alone = b'{"instruction": "Hi?", "input": "", "output": "Ho."}'

    assert pairs(told + alone) == [("Shorten.\n\nin order to", "to"), ("Hi?", "Ho.")]


def test_a_mapping_comes_before_the_usual_names_and_files_without_it_are_read_by_those() -> None:
    mapping = {"source": "Entwurf", "target": "endfassung"}

    assert pairs(b'{"prompt": "no", "entwurf ": "a", "Endfassung": "b"}', mapping) == [("a", "b")]
    assert pairs(b"prompt;Entwurf;Endfassung\nno;a;b\n", mapping) == [("a", "b")]
    assert pairs(b'{"prompt": "a", "completion": "b"}', mapping) == [("a", "b")]


@examples(300)
@given(
    st.lists(
        st.sampled_from(
            [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\n", b" ", b"a", b"\xff", b"1", PAIR.encode()]
        ),
        max_size=40,
    ).map(b"".join),
    st.sampled_from([b"[", b'{"data": [', b"{", b'{"prompt": "a", "completion": "b"}\n']),
    st.integers(1, 16),
)
def test_garbage_never_breaks_the_reader(body: bytes, head: bytes, size: int) -> None:
    told = whole(head + body)

    assert told and all(r.reason for r in told if isinstance(r, Refusal))
    assert in_slices(head + body, size) == told
