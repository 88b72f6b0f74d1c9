"""Every usual form of a row is read; what is none is named by its line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from millrace.errors import InvalidInput

from training_containers.common import rows
from training_containers.common.rows import Row


def channel(folder: Path, *lines: Any) -> Path:
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ({"id": "a", "source": "S ", "target": "T"}, Row("a", "S", "T")),
        ({"prompt": "S", "completion": "T"}, Row("1", "S", "T")),
        ({"prompt": "S", "chosen": "T", "rejected": "R"}, Row("1", "S", "T", "R")),
        ({"prompt": [said("user", "S")], "chosen": [said("assistant", "T")], "rejected": "R"}, Row("1", "S", "T", "R")),
        ({"prompt": "S", "completion": "T", "label": False}, Row("1", "S", "T", label=False)),
        (
            {"id": "a", "source": "S", "target": "T", "context": [{"role": "system", "text": "Be brief."}]},
            Row("a", "S", "T", context=(("system", "Be brief."),)),
        ),
        ({"messages": [said("user", "S"), said("assistant", "T")]}, Row("1", "S", "T")),
    ],
    ids=["pair", "prompt", "preference", "conversational", "verdict", "corpus", "chat"],
)
def test_each_form_is_the_same_row(tmp_path: Path, line: Any, row: Row) -> None:
    assert rows.read(channel(tmp_path, line), "train") == [row]


def test_a_chat_gives_a_row_for_each_answer_with_all_before_it_as_context(tmp_path: Path) -> None:
    talk = [said("system", "Be brief."), said("user", "A"), said("assistant", "B"), said("user", "C")]

    first, second = rows.read(channel(tmp_path, {"id": "t", "messages": [*talk, said("assistant", "D")]}), "train")

    assert first == Row("t", "A", "B", context=(("system", "Be brief."),))
    assert (second.id, second.source, second.target, len(second.context)) == ("t.2", "C", "D", 3)
    assert [m["role"] for m in second.messages("")] == ["system", "user", "assistant", "user"]


def test_the_sessions_of_the_notes_are_read_from_their_csv(tmp_path: Path) -> None:
    note = "Slept badly.\n{{RED:thoughts of self-harm, no plan}}"
    with (tmp_path / "sessions.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(
            [["Session_ID", "Transcript", "Note"], ["s1", "T: How did you sleep?\nC: Badly.", note]]
        )

    (row,) = rows.read(tmp_path, "train")

    assert row == Row("s1", "T: How did you sleep?\nC: Badly.", note)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[1]", "is not a row: it holds no names"),
        ('{"source": "a"}', "is not a row: it has no target"),
        ('{"target": "a"}', "is not a row: it has no source"),
        ('{"source": "a", "target": " "}', "has no text in `target`"),
        ('{"source": 3, "target": "b"}', "has no text in `source`"),
        ('{"prompt": "a", "completion": "b", "label": "perhaps"}', "a `label` that is neither true nor false"),
        ('{"messages": "a"}', "has no list of messages"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "has no answer of the role `assistant`"),
        ('{"prompt": [{"role": "system", "content": "a"}], "completion": "b"}', "does not end `prompt` with a message"),
        ('{"prompt": [], "completion": "b"}', "does not end `prompt`"),
        ("not json", "is not a row of JSON"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "data.jsonl").write_text('{"source": "a", "target": "b"}\n' + line + "\n")

    with pytest.raises(InvalidInput, match=f"Line 2 of the channel `train` .*{sentence}"):
        rows.read(tmp_path, "train")


def test_a_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sessions.csv").write_bytes("transcript,note\ncafé,b".encode("latin-1"))

    with pytest.raises(InvalidInput, match=r"sessions\.csv of the channel `train` is not a CSV in UTF-8"):
        rows.read(tmp_path, "train")


def test_a_split_is_the_same_for_the_same_seed_and_keeps_a_question_on_one_side() -> None:
    every = [Row(str(n), f"Question  {n % 20}", f"answer {n}") for n in range(100)]

    train, held = rows.divided(every, 0.1, seed=4)

    assert (train, held) == rows.divided(list(every), 0.1, seed=4) != rows.divided(every, 0.1, seed=5)
    assert len(held) == 10 and not {row.key for row in train} & {row.key for row in held}


def test_a_pair_was_chosen_over_its_source_and_a_preference_over_what_it_names() -> None:
    found = rows.as_preferences(
        [Row("a", "S", "T"), Row("b", "S", "T", "R"), Row("c", "S", "S"), Row("d", "S", "T", label=False)]
    )

    assert [(row.id, row.rejected) for row in found] == [("a", "S"), ("b", "R")]


def test_verdicts_come_one_of_each_from_pairs_and_preferences_and_as_they_are_where_they_were_given() -> None:
    made = rows.as_verdicts([Row("a", "S", "T"), Row("b", "S", "T", "R")])
    given = [Row("c", "S", "T"), Row("d", "S", "U", label=False)]

    assert [(row.target, row.label) for row in made] == [("T", True), ("S", False), ("T", True), ("R", False)]
    assert rows.as_verdicts(given) == given
