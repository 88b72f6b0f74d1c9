"""What the base's chat template makes of rows: token ids with the answer marked.

Nothing here fails silently: a template that breaks a prompt or doubles the opening token, an answer that no stop token
ends, a text with the tokenizer's own markers in it, a held-out question among the training rows: each is an error or
a count in the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError
from millrace.errors import InvalidInput
from millrace.text.trim import shorten

from training_containers.common.rows import Message, Row


@dataclass(frozen=True)
class Encoded:
    """Token ids of a row; `prompt` ends where the answer begins, `target` with the token that stops it."""

    prompt: list[int]
    target: list[int]
    rejected: list[int] | None = None
    label: bool = True

    @property
    def ids(self) -> list[int]:
        return self.prompt + self.target

    @property
    def labels(self) -> list[int]:
        """-100 on the prompt: the loss is over the target alone."""
        return [-100] * len(self.prompt) + self.target

    @property
    def length(self) -> int:
        """Tokens of the longer of its rows."""
        return len(self.prompt) + max(len(self.target), len(self.rejected or ()))


def refuse_leak(train: Sequence[Row], held_out: dict[str, list[Row]]) -> None:
    """InvalidInput where a held-out question is among the training rows, or in two held-out splits."""
    seen = {row.key: "trained on" for row in train}
    for name, others in held_out.items():
        leaked = [(row.id, seen[row.key]) for row in others if row.key in seen]
        if leaked:
            id, where = leaked[0]
            raise InvalidInput(f"{len(leaked)} rows of `{name}` have a source that is also {where}, such as row {id}.")
        seen |= {row.key: f"in `{name}`" for row in others}


def stop_ids(tokenizer: Any, generation: Any) -> set[int]:
    """Ids that end an answer: the tokenizer's EOS and the generation configuration's."""
    told = generation.eos_token_id
    listed = told if isinstance(told, list) else [told]
    return {int(id) for id in (*listed, tokenizer.eos_token_id) if id is not None}


def prompts(tokenizer: Any, rows: Sequence[Row], instruction: str) -> list[list[int]]:
    """Token ids up to where the answer begins."""
    return [_prompt(tokenizer, row.messages(instruction)) for row in rows]


def encode(tokenizer: Any, stops: set[int], rows: Sequence[Row], instruction: str) -> list[Encoded]:
    """Prompts and answers up to and with their stop token, which is what the model must learn to say."""
    if not stops:
        raise InvalidInput("The base names no end-of-sequence token, so nothing it learns would ever stop.")
    return [_encoded(tokenizer, stops, row, instruction) for row in rows]


def fitted(
    tokenizer: Any, stops: set[int], rows: Sequence[Row], instruction: str, limit: int, overlong: str
) -> tuple[list[Encoded], dict[str, int]]:
    """Rows of at most `limit` tokens, and how many were cut at a sentence end, left out as too long or for markers."""
    made: list[Encoded] = []
    counts = {"cut": 0, "too_long": 0, "markers": 0}
    for row in rows:
        if speaks_markers(tokenizer, row):
            counts["markers"] += 1
            continue
        (one,) = encode(tokenizer, stops, [row], instruction)
        if one.length > limit:
            shorter = _cut(tokenizer, stops, row, one, instruction, limit) if _may_cut(one, overlong) else None
            counts["cut" if shorter else "too_long"] += 1
            one = shorter or one
        if one.length <= limit:
            made.append(one)
    return made, counts


def speaks_markers(tokenizer: Any, row: Row) -> bool:
    """Whether a text of the row would be read as the tokenizer's own markers."""
    texts = (row.source, row.target, row.rejected or "", *(text for _, text in row.context))
    return any(marker in text for marker in tokenizer.all_special_tokens for text in texts)


def openings(tokenizer: Any, rows: Sequence[Encoded]) -> str | None:
    """For the report: how rows open, where the tokenizer by itself would open them otherwise."""
    bos = tokenizer.bos_token_id
    if bos is None or not rows:
        return None
    alone, templated = (ids[:1] == [bos] for ids in (tokenizer("x")["input_ids"], rows[0].prompt))
    how = "opens" if templated else "does not open"
    return (
        None if alone == templated else f"The template {how} with {tokenizer.bos_token}; the tokenizer alone differs."
    )


def _may_cut(one: Encoded, overlong: str) -> bool:
    return overlong == "truncate" or (overlong == "auto" and 2 * len(one.target) <= len(one.prompt))


def _cut(tokenizer: Any, stops: set[int], row: Row, one: Encoded, instruction: str, limit: int) -> Encoded | None:
    """The row with as many whole sentences of its source as fit beside the whole answer."""
    answer = one.length - len(one.prompt)

    def fits(source: str) -> bool:
        return len(_prompt(tokenizer, replace(row, source=source).messages(instruction))) + answer <= limit

    shorter = shorten(row.source, fits)
    return encode(tokenizer, stops, [replace(row, source=shorter)], instruction)[0] if shorter else None


def _encoded(tokenizer: Any, stops: set[int], row: Row, instruction: str) -> Encoded:
    asked = row.messages(instruction)
    prompt = _prompt(tokenizer, asked)
    rejected = None if row.rejected is None else _answer(tokenizer, stops, asked, prompt, row.rejected)
    return Encoded(prompt, _answer(tokenizer, stops, asked, prompt, row.target), rejected, row.label)


def _prompt(tokenizer: Any, messages: list[Message]) -> list[int]:
    if not tokenizer.chat_template:
        raise InvalidInput("The base's tokenizer has no chat template, so there is no telling how to ask it.")
    ids = _ids(tokenizer, messages, ask=True)
    if ids[:2] == [tokenizer.bos_token_id] * 2:
        raise InvalidInput(f"The base's chat template opens with {tokenizer.bos_token} twice.")
    return ids


def _answer(tokenizer: Any, stops: set[int], asked: list[Message], prompt: list[int], text: str) -> list[int]:
    whole = _ids(tokenizer, [*asked, {"role": "assistant", "content": text}], ask=False)
    if whole[: len(prompt)] != prompt:
        raise InvalidInput("The base's chat template writes a question differently once it is answered.")
    answer = whole[len(prompt) :]
    end = next((index for index, id in enumerate(answer) if id in stops), None)
    if end is None:
        raise InvalidInput(
            "The base's chat template ends an answer without its end-of-sequence token "
            f"{tokenizer.convert_ids_to_tokens(sorted(stops))}: a model trained on it would never stop."
        )
    return answer[: end + 1]


def _ids(tokenizer: Any, messages: list[Message], ask: bool) -> list[int]:
    try:
        ids: list[int] = tokenizer.apply_chat_template(messages, add_generation_prompt=ask, return_dict=False)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise InvalidInput(f"The base's chat template does not take messages of {roles}: {error}") from error
    return ids
