"""Rows and what the chat template makes of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from millrace.errors import InvalidInput

from training_containers.common.rows import Row
from training_containers.lora import data

END = 5
ROW = Row("a", "Moreover, it is late.", "It's late.")


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


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
    assert data.stop_ids(SimpleNamespace(eos_token_id=5), SimpleNamespace(eos_token_id=[7, 9])) == {5, 7, 9}


def test_a_held_out_source_among_the_training_rows_is_a_leak() -> None:
    with pytest.raises(InvalidInput, match=r"1 rows of `test` have a source that is also trained on, such as row b"):
        data.refuse_leak([ROW], {"test": [Row("b", ROW.source + " ", "else")]})


def test_a_text_with_a_marker_of_the_tokenizer_is_seen(tokenizer: Any) -> None:
    assert data.speaks_markers(tokenizer, Row("a", "Say <|end|> now.", "Now."))
    assert not data.speaks_markers(tokenizer, ROW)


def test_a_long_transcript_is_cut_at_a_sentence_end_beside_its_whole_note(tokenizer: Any) -> None:
    row = Row("a", "The team left at ten. " * 40, "The team left.")

    (made,), counts = data.fitted(tokenizer, {END}, [row], "", 64, "auto")

    assert counts == {"cut": 1, "too_long": 0, "markers": 0} and 50 < made.length <= 64
    assert tokenizer.decode(made.ids).endswith("at ten.<|end|><|assistant|> The team left.<|end|>")


def test_a_long_rewrite_is_left_out_since_half_of_it_would_teach_to_invent(tokenizer: Any) -> None:
    long = "The team left at ten. " * 40
    rows = [Row("a", long, long), ROW, Row("b", "Say <|end|> now.", "Now.")]

    made, counts = data.fitted(tokenizer, {END}, rows, "", 64, "auto")

    assert len(made) == 1 and counts == {"cut": 0, "too_long": 1, "markers": 1}


def test_a_template_that_opens_twice_is_refused(base: Path) -> None:
    from transformers import AutoTokenizer

    broken = AutoTokenizer.from_pretrained(base)
    broken.chat_template = "<s><s>" + broken.chat_template

    with pytest.raises(InvalidInput, match="opens with <s> twice"):
        data.encode(broken, {END}, [ROW], "")


def test_a_template_that_refuses_a_role_is_told_with_the_roles(base: Path) -> None:
    from transformers import AutoTokenizer

    strict = AutoTokenizer.from_pretrained(base)
    strict.chat_template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"

    with pytest.raises(InvalidInput, match="does not take messages of system, user: no system"):
        data.encode(strict, {END}, [Row("a", "S", "T", context=(("system", "Be brief."),))], "")


def test_the_turns_before_a_source_stand_in_its_prompt(tokenizer: Any) -> None:
    row = Row("a", "And now?", "Later.", context=(("user", "Is it late?"), ("assistant", "No.")))

    (made,) = data.encode(tokenizer, {END}, [row], "")

    assert tokenizer.decode(made.prompt) == (
        "<|user|> Is it late?<|end|><|assistant|> No.<|end|><|user|> And now?<|end|><|assistant|>"
    )


def test_a_question_in_two_held_out_splits_is_a_leak_too() -> None:
    with pytest.raises(
        InvalidInput, match="1 rows of `test` have a source that is also in `validation`, such as row c"
    ):
        data.refuse_leak([ROW], {"validation": [Row("b", "Other.", "x")], "test": [Row("c", "other.  ", "y")]})
