"""Rows and what the chat template makes of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from millrace.errors import InvalidInput

from training_containers.lora import data
from training_containers.lora.data import Row

END = 5
ROW = Row("a", "Moreover, it is late.", "It's late.")


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def channel(folder: Path, text: str) -> Path:
    (folder / "data.jsonl").write_text(text)
    return folder


def test_the_target_with_its_stop_token_is_what_the_loss_sees(tokenizer: Any) -> None:
    (made,) = data.encode(tokenizer, {END}, [ROW], "")

    assert tokenizer.decode(made.ids) == "<|user|> Moreover, it is late.<|end|><|assistant|> It's late.<|end|>"
    assert [id for id in made.labels if id != -100] == [*tokenizer("It's late.")["input_ids"], END]
    assert len(made.labels) == len(made.ids) and made.labels[: len(made.prompt)] == [-100] * len(made.prompt)


def test_the_instruction_stands_before_the_source(tokenizer: Any) -> None:
    (made,) = data.prompts(tokenizer, [ROW], "Make it plain.")

    assert tokenizer.decode(made) == "<|user|> Make it plain.\n\nMoreover, it is late.<|end|><|assistant|>"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{{ messages[0]['content'] }}{% if messages|length > 1 %}{{ messages[1]['content'] }}{% endif %}", "never st"),
        ("{{ messages|length }}{{ messages[0]['content'] }}<|end|>", "writes a question differently"),
        ("", "no chat template"),
    ],
    ids=["no stop token", "prompt changes", "none"],
)
def test_a_template_that_would_train_nonsense_is_refused(base: Path, template: str, sentence: str) -> None:
    from transformers import AutoTokenizer

    broken = AutoTokenizer.from_pretrained(base)
    broken.chat_template = template

    with pytest.raises(InvalidInput, match=sentence):
        data.encode(broken, {END}, [ROW], "")


def test_a_base_without_an_end_of_sequence_is_refused(tokenizer: Any) -> None:
    with pytest.raises(InvalidInput, match="names no end-of-sequence"):
        data.encode(tokenizer, set(), [ROW], "")


def test_stop_tokens_are_the_tokenizers_and_the_generation_configurations() -> None:
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[7, 9]))

    assert data.stop_ids(SimpleNamespace(eos_token_id=5), model) == {5, 7, 9}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("not json", "Line 2 of the channel `train` is not a row"),
        ('{"id": "1", "source": "a"}', "Line 2 of the channel `train` is not a row"),
        ('{"id": "1", "source": "a", "target": " "}', "Line 2 of the channel `train` has no text in `target`"),
        ('{"id": "1", "source": 3, "target": "b"}', "Line 2 of the channel `train` has no text in `source`"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    good = '{"id": "0", "source": "a", "target": "b"}\n'

    with pytest.raises(InvalidInput, match=sentence):
        data.rows(channel(tmp_path, good + line + "\n"), "train")


def test_a_channel_without_its_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"`test` has no data\.jsonl"):
        data.rows(tmp_path, "test")


def test_a_held_out_source_among_the_training_rows_is_a_leak() -> None:
    with pytest.raises(InvalidInput, match=r"1 rows of `test` have a source that is also trained on, such as row b"):
        data.refuse_leak([ROW], {"test": [Row("b", ROW.source + " ", "else")]})


def test_a_text_with_a_marker_of_the_tokenizer_is_seen(tokenizer: Any) -> None:
    assert data.speaks_markers(tokenizer, Row("a", "Say <|end|> now.", "Now."))
    assert not data.speaks_markers(tokenizer, ROW)
