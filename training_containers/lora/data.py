"""Rows of a channel, and what the base's chat template makes of them: token ids with the target marked.

Nothing here fails silently: a template that breaks a prompt, or an answer that no stop token ends, is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.errors import InvalidInput
from millrace.text.prompt import user_message


@dataclass(frozen=True)
class Row:
    id: str
    source: str
    target: str


@dataclass(frozen=True)
class Encoded:
    """Token ids of a row; `prompt` ends where the answer begins, `target` with the token that stops it."""

    prompt: list[int]
    target: list[int]

    @property
    def ids(self) -> list[int]:
        return self.prompt + self.target

    @property
    def labels(self) -> list[int]:
        """-100 on the prompt: the loss is over the target alone."""
        return [-100] * len(self.prompt) + self.target


def rows(channel: Path, name: str) -> list[Row]:
    """Every row of a channel's data.jsonl. InvalidInput names the line that is not one."""
    path = channel / "data.jsonl"
    if not path.is_file():
        raise InvalidInput(f"The channel `{name}` has no data.jsonl.")
    lines = path.read_bytes().splitlines()
    return [_row(line, name, number) for number, line in enumerate(lines, 1) if line.strip()]


def _row(line: bytes, name: str, number: int) -> Row:
    try:
        read: dict[str, Any] = json.loads(line)
        row = Row(str(read["id"]), read["source"], read["target"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"Line {number} of the channel `{name}` is not a row of id, source and target.") from error
    for field, text in (("source", row.source), ("target", row.target)):
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(f"Line {number} of the channel `{name}` has no text in `{field}`.")
    return row


def refuse_leak(train: Iterable[Row], held_out: dict[str, list[Row]]) -> None:
    """InvalidInput where a held-out source is among the training sources."""
    seen = {row.source.strip() for row in train}
    for name, others in held_out.items():
        if leaked := [row.id for row in others if row.source.strip() in seen]:
            raise InvalidInput(
                f"{len(leaked)} rows of `{name}` have a source that is also trained on, such as row {leaked[0]}."
            )


def stop_ids(tokenizer: Any, model: Any) -> set[int]:
    """Ids that end an answer: the tokenizer's EOS and the generation configuration's."""
    told = model.generation_config.eos_token_id
    listed = told if isinstance(told, list) else [told]
    return {int(id) for id in (*listed, tokenizer.eos_token_id) if id is not None}


def prompts(tokenizer: Any, rows: Sequence[Row], instruction: str) -> list[list[int]]:
    """Token ids up to where the answer begins."""
    if not tokenizer.chat_template:
        raise InvalidInput("The base's tokenizer has no chat template, so there is no telling how to ask it.")
    return [_ids(tokenizer, [_user(row, instruction)], ask=True) for row in rows]


def encode(tokenizer: Any, stops: set[int], rows: Sequence[Row], instruction: str) -> list[Encoded]:
    """Each row as the base's template has it, up to and with the first stop token after the target."""
    if not stops:
        raise InvalidInput("The base names no end-of-sequence token, so nothing it learns would ever stop.")
    made = []
    for row, prompt in zip(rows, prompts(tokenizer, rows, instruction), strict=True):
        whole = _ids(tokenizer, [_user(row, instruction), {"role": "assistant", "content": row.target}], ask=False)
        if whole[: len(prompt)] != prompt:
            raise InvalidInput("The base's chat template writes a question differently once it is answered.")
        answer = whole[len(prompt) :]
        end = next((index for index, id in enumerate(answer) if id in stops), None)
        if end is None:
            raise InvalidInput(
                "The base's chat template ends an answer without its end-of-sequence token "
                f"{tokenizer.convert_ids_to_tokens(sorted(stops))}: a model trained on it would never stop."
            )
        made.append(Encoded(prompt, answer[: end + 1]))
    return made


def speaks_markers(tokenizer: Any, row: Row) -> bool:
    """Whether a text of the row would be read as the tokenizer's own markers."""
    return any(marker in row.source or marker in row.target for marker in tokenizer.all_special_tokens)


def _user(row: Row, instruction: str) -> dict[str, str]:
    return {"role": "user", "content": user_message(row.source, instruction)}


def _ids(tokenizer: Any, messages: list[dict[str, str]], ask: bool) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(messages, add_generation_prompt=ask, return_dict=False)
    return ids
