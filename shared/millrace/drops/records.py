"""What a record of a dropped file becomes: a Row, or a Refusal with its line and reason. Pure.

The roles of a record's values are told by its columns' names: the usual ones, or those that a tenant named. A pair has
a source and a target; a preference a rejected text as well; a chat is its last answer after its last question, with
the turns before as context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from ..datapoints import MAX_TEXT, Turn

NAMES: Mapping[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations", "conversation"),
    "source": ("prompt", "input", "source", "ai_text", "original", "before", "draft", "ai", "instruction", "question"),
    "target": (
        *("completion", "output", "target", "humanized_text", "rewritten", "after", "final", "human", "response"),
        *("answer", "chosen", "preferred", "preferred_output"),
    ),
    "rejected": ("rejected", "non_preferred_output", "dispreferred"),
}
"""Role -> the usual names of its column, the first that a file has counts."""
ROLES = tuple(NAMES)
SPEAKERS = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot"), "assistant"),
}
MAX_TURNS = 200
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    """Line, or number of the record, from one."""
    source: str
    target: str
    rejected: str | None = None
    context: tuple[Turn, ...] = ()
    place: str = ""
    """What tells this row from every other of its drop, where that is not the line alone."""

    @property
    def ref(self) -> str:
        return self.place or str(self.line)


@dataclass(frozen=True, slots=True)
class Refusal:
    line: int
    reason: str
    file: str = ""
    """Of an archive: the file inside."""

    def to_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"line": self.line, "reason": self.reason}
        return told | {"file": self.file} if self.file else told


class Bad(Exception):
    """This record cannot be used; the message says why."""


class Unreadable(Exception):
    """From here on nothing of the file can be read; the message says why."""


@dataclass(frozen=True)
class Layout:
    """Which column plays which role. `extra`: an instruction's input, told after it."""

    columns: Mapping[str, str]

    @cached_property
    def plain(self) -> tuple[str, str] | None:
        """The columns of a pair that is nothing more."""
        return (self.columns["source"], self.columns["target"]) if self.columns.keys() == {"source", "target"} else None

    def row(self, line: int, value: Callable[[str], Any], place: str = "") -> Row:
        """`value` gives a column's value by the column's name."""
        if self.plain:
            source, target = value(self.plain[0]), value(self.plain[1])
            if type(source) is str and type(target) is str:
                return _checked(Row(line, source.strip(), target.strip(), None, (), place))
        values = {role: value(name) for role, name in self.columns.items()}
        if "messages" in values:
            *context, asked, answer = _chat(values["messages"])
            return _checked(Row(line, asked.text.strip(), answer.text.strip(), None, tuple(context), place))
        return _checked(_pair(line, values, place))


def layout_of(header: Sequence[str], mapping: Mapping[str, str]) -> Layout:
    """Bad where a role that is needed has no column; every one that is missing is named."""
    own = {_folded(name): name for name in reversed(header)}
    found: dict[str, str] = {}
    for role in ROLES:
        named = _folded(mapping.get(role, ""))
        usual = next((name for name in NAMES[role] if name in own), None)
        if name := named if named in own else usual:
            found[role] = own[name]
    preference = {"target", "rejected"} <= found.keys()
    if "messages" in found and not preference and not {"source", "target"} & mapping.keys():
        return Layout({"messages": found["messages"]})
    found.pop("messages", None)
    if "source" not in mapping and {"instruction", "input"} <= own.keys():
        found |= {"source": own["instruction"], "extra": own["input"]}
    missing = [role for role in ("source", "target") if role not in found and not (preference and role == "source")]
    if missing:
        raise Bad(_missing(missing, header))
    return Layout(found)


def _missing(roles: Sequence[str], header: Sequence[str]) -> str:
    what = " and ".join(f"no {role} column" for role in roles)
    names = "; ".join(f"name the {role} one of {', '.join(NAMES[role])}" for role in roles)
    shown = ", ".join(str(name) for name in header)[:200] or "nothing"
    return f"{what}: {names} (there is: {shown})"


def _folded(name: str) -> str:
    return str(name).strip().casefold()


def _pair(line: int, values: Mapping[str, Any], place: str) -> Row:
    context: list[Turn] = []
    source = values.get("source")
    if isinstance(source, str):
        if extra := values.get("extra"):
            source = f"{source}\n\n{_text('the input', extra)}"
    elif source is not None or "source" in values:
        *context, asked = _prompt(source)
        source = asked.text
    if not isinstance(values["target"], str) or (source is None and "source" not in values):
        return _conversations(line, values, source, context, place)
    rejected = values.get("rejected")
    return Row(
        line,
        _text("the source", source),
        values["target"].strip(),
        None if rejected is None and "rejected" not in values else _text("the rejected text", rejected),
        tuple(context),
        place,
    )


def _conversations(line: int, values: Mapping[str, Any], source: str | None, context: list[Turn], place: str) -> Row:
    """A preference whose texts are chats: what both begin with is the prompt, where no column tells it."""
    chosen = _turns("the target", values["target"])
    rejected = _turns("the rejected text", values["rejected"]) if "rejected" in values else None
    if rejected is not None and rejected[:-1] != chosen[:-1]:
        raise Bad("the chosen and the rejected text do not answer the same turns")
    answer = _answer(chosen)
    if len(chosen) > 1:
        *context, asked = _prompt_of(chosen[:-1])
        source = asked.text
    if source is None:
        raise Bad("there is no source: neither a column of its own nor turns before the answer")
    return Row(line, source.strip(), answer, _answer(rejected) if rejected else None, tuple(context), place)


def _answer(turns: Sequence[Turn]) -> str:
    if turns[-1].role != "assistant":
        raise Bad(f"the last turn is the {turns[-1].role}'s and not the assistant's")
    return turns[-1].text.strip()


def _chat(value: Any) -> list[Turn]:
    turns = _turns("the chat", value)
    _answer(turns)
    return [*_prompt_of(turns[:-1]), turns[-1]]


def _prompt(value: Any) -> list[Turn]:
    if isinstance(value, dict) and "messages" in value:
        value = value["messages"]
    if not isinstance(value, list):
        raise Bad(_not_text("the source", value))
    return _prompt_of(_turns("the source", value))


def _prompt_of(turns: list[Turn]) -> list[Turn]:
    if not turns or turns[-1].role != "user":
        raise Bad("no turn of the user's comes right before the answer")
    return turns


def _turns(name: str, value: Any) -> list[Turn]:
    """A chat as OpenAI has it (role, content) or ShareGPT (from, value); also as JSON in a text."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Bad(f"{name} is not JSON: {error}") from None
    if isinstance(value, dict) and "messages" in value:
        value = value["messages"]
    if not isinstance(value, list):
        raise Bad(_not_text(name, value) if name != "the chat" else "the chat is not a list of messages")
    if not 0 < len(value) <= MAX_TURNS:
        raise Bad(f"{name} has {len(value)} messages; 1 to {MAX_TURNS} are taken")
    return [_turn(number, message) for number, message in enumerate(value, 1)]


def _turn(number: int, message: Any) -> Turn:
    if not isinstance(message, dict):
        raise Bad(f"message {number} is not an object with a role and a content")
    role, text = message.get("role", message.get("from")), message.get("content", message.get("value"))
    speaker = SPEAKERS.get(role) if isinstance(role, str) else None
    if speaker is None:
        raise Bad(f"message {number} has the role {str(role)[:40]!r}; known are system, user and assistant")
    if isinstance(text, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in text):
        text = "".join(str(part.get("text", "")) for part in text)
    return Turn(speaker, _proper(f"message {number}", _text(f"message {number}", text)))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Bad(_not_text(name, value))
    return value.strip()


def _not_text(name: str, value: Any) -> str:
    if value is None:
        return f"{name} is empty"
    return f"{name} is {_KINDS.get(type(value), 'something else')}, not text"


def _proper(name: str, text: str) -> str:
    if not text:
        raise Bad(f"{name} is empty")
    if control := _CONTROL.search(text):
        raise Bad(f"{name} holds the control character 0x{ord(control.group()):02X}")
    if len(text) > MAX_TEXT:
        raise Bad(f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are taken")
    return text


def _checked(row: Row) -> Row:
    _proper("the source", row.source)
    _proper("the target", row.target)
    if row.rejected is not None:
        _proper("the rejected text", row.rejected)
        if row.rejected == row.target:
            raise Bad("the chosen and the rejected text are the same")
    elif row.source == row.target:
        raise Bad("source and target are the same")
    if row.context and sum(len(turn.text) for turn in row.context) > MAX_TEXT:
        raise Bad(f"the turns before the source have more than {MAX_TEXT:,} characters")
    return row
