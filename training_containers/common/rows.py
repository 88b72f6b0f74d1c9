"""Rows of a channel in whatever usual form they came, as one dataclass: any strategy reads any of them.

`data.jsonl`: pairs {source, target} or {prompt, completion}, chats {messages}, preferences {prompt, chosen, rejected},
verdicts {prompt, completion, label}; prompt and answers may be lists of messages, and `context` holds earlier turns, as
the corpus writes them. A `.csv`: the same names as columns, or the sessions of the notes (transcript, note).
Texts are tidied; nothing is skipped in silence: InvalidInput names the line.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from millrace.errors import InvalidInput
from millrace.text.prompt import user_message
from millrace.text.trim import tidy

Message = dict[str, str]
SOURCES: Final = ("source", "prompt", "input", "transcript", "session", "dialogue")
TARGETS: Final = ("target", "completion", "chosen", "output", "note", "notes", "clinical_note", "summary")
IDS: Final = ("id", "session_id")
LONGEST_CELL: Final = 1 << 22
"""Characters of one CSV cell: a transcript of many hours; Python's own limit is an eighth of it."""


@dataclass(frozen=True)
class Row:
    id: str
    source: str
    target: str
    rejected: str | None = None
    """Of a preference: the answer that `target` was chosen over."""
    label: bool = True
    """False: `target` is an answer that nobody wanted."""
    context: tuple[tuple[str, str], ...] = ()
    """(role, text) of the turns before the source, oldest first."""

    def messages(self, instruction: str) -> list[Message]:
        """What the model is asked: the turns so far, then the source, the instruction before it."""
        before = [{"role": role, "content": text} for role, text in self.context]
        return [*before, {"role": "user", "content": user_message(self.source, instruction)}]

    @property
    def key(self) -> str:
        """Rows with the same key are the same question, as the corpus splits them."""
        return " ".join(" ".join((*(text for _, text in self.context), self.source)).split()).casefold()


def read(channel: Path, name: str) -> list[Row]:
    """Every row of a channel, a chat giving one for each of its answers."""
    path = channel / "data.jsonl"
    tables = sorted(channel.glob("*.csv")) if channel.is_dir() else []
    if path.is_file():
        lines: Iterable[tuple[int, Any]] = _json_lines(path, name)
    elif tables:
        lines = _csv_lines(tables[0], name)
    else:
        raise InvalidInput(f"The channel `{name}` has no data.jsonl.")
    return [row for number, values in lines for row in _rows(values, f"Line {number} of the channel `{name}`", number)]


def divided(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """(train, held out): about `share` of the questions, drawn by `seed`, all rows of one question on one side."""
    keys = sorted({row.key for row in rows})
    held = set(Random(seed).sample(keys, round(share * len(keys))))
    return [row for row in rows if row.key not in held], [row for row in rows if row.key in held]


def _json_lines(path: Path, name: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise InvalidInput(f"Line {number} of the channel `{name}` is not a row of JSON.") from error


def _csv_lines(path: Path, name: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(LONGEST_CELL)
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        reader.fieldnames = [column.strip().lower() for column in reader.fieldnames or ()]
        for row in reader:
            yield reader.line_num, {column: cell for column, cell in row.items() if column and cell}
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path.name} of the channel `{name}` is not a CSV in UTF-8: {error}.") from error


def _rows(values: Any, where: str, number: int) -> Iterator[Row]:
    if not isinstance(values, Mapping):
        raise InvalidInput(f"{where} is not a row: it holds no names.")
    id = str(next((values[key] for key in IDS if values.get(key) is not None), number))
    if "messages" in values:
        yield from _chat(id, _turns(values["messages"], where, "messages"), where)
        return
    source, target = (next((key for key in names if key in values), None) for names in (SOURCES, TARGETS))
    if source is None or target is None:
        raise InvalidInput(f"{where} is not a row: it has no {'source' if source is None else 'target'}.")
    context, asked = _asked(values[source], where, source)
    context = (*_turns(values.get("context") or [], where, "context"), *context)
    rejected = _answer(values["rejected"], where, "rejected") if values.get("rejected") else None
    label = _label(values["label"], where) if "label" in values else True
    yield Row(id, asked, _answer(values[target], where, target), rejected, label, context)


def _chat(id: str, turns: tuple[tuple[str, str], ...], where: str) -> Iterator[Row]:
    """One row for each answer: what was said before it, and the answer."""
    found = 0
    for at, (role, text) in enumerate(turns):
        if role == "assistant" and at and turns[at - 1][0] == "user":
            found += 1
            yield Row(id if found == 1 else f"{id}.{found}", turns[at - 1][1], text, context=turns[: at - 1])
    if not found:
        raise InvalidInput(f"{where} has no answer of the role `assistant` after one of the role `user`.")


def _asked(value: Any, where: str, name: str) -> tuple[tuple[tuple[str, str], ...], str]:
    if isinstance(value, list):
        *before, (role, text) = _turns(value, where, name) or ((("", ""),))
        if role != "user":
            raise InvalidInput(f"{where} does not end `{name}` with a message of the role `user`.")
        return tuple(before), text
    return (), _text(value, where, name)


def _answer(value: Any, where: str, name: str) -> str:
    return _turns(value, where, name)[-1][1] if isinstance(value, list) and value else _text(value, where, name)


def _turns(value: Any, where: str, name: str) -> tuple[tuple[str, str], ...]:
    """Messages as OpenAI writes them (role, content), or turns as the corpus does (role, text)."""
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        raise InvalidInput(f"{where} has no list of messages in `{name}`.")
    return tuple((str(turn.get("role")), _text(turn.get("content", turn.get("text")), where, name)) for turn in value)


def _text(value: Any, where: str, name: str) -> str:
    text = tidy(value) if isinstance(value, str) else ""
    if not text:
        raise InvalidInput(f"{where} has no text in `{name}`.")
    return text


_LABELS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _label(value: Any, where: str) -> bool:
    known = _LABELS.get(str(value).strip().lower())
    if known is None:
        raise InvalidInput(f"{where} has a `label` that is neither true nor false.")
    return known


def as_preferences(rows: Iterable[Row]) -> list[Row]:
    """Rows with a rejected answer. Of a pair it is the source itself: a rewrite that changes nothing was not asked for.

    A verdict of yes is such a pair; a verdict of no has nothing that it was chosen over, and is left out.
    """
    wanted = [row if row.rejected else replace(row, rejected=row.source) for row in rows if row.label]
    return [row for row in wanted if row.rejected != row.target]


def as_verdicts(rows: Iterable[Row]) -> list[Row]:
    """Rows whose label says whether the answer was wanted; a preference and a pair give one of each."""
    found: list[Row] = []
    every = list(rows)
    judged = any(not row.label for row in every)
    for row in every:
        found.append(replace(row, rejected=None))
        other = row.rejected or (None if judged else row.source)
        if row.label and other and other != row.target:
            found.append(replace(row, id=f"{row.id}-", target=other, rejected=None, label=False))
    return found
