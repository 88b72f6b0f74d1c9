"""The committed base: the bytes that the README names, small, and a copier of what it never saw."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from millrace.evaluation import edited

from training_containers.common.manifest import sha256
from training_containers.lora import base as bases
from training_containers.lora import data
from training_containers.lora.data import Row
from training_containers.lora.evaluate import written
from training_containers.lora.settings import EvaluateSettings
from training_containers.tiny import grammar, pairs

WEIGHTS = Path(pairs.__file__).with_name("weights")
README = Path(pairs.__file__).with_name("README.md")


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    return bases.load(WEIGHTS)


def answers(tiny: tuple[Any, Any], sources: list[str]) -> list[str]:
    tokenizer, model = tiny
    rows = [Row(str(index), source, source) for index, source in enumerate(sources)]
    made = data.encode(tokenizer, data.stop_ids(tokenizer, model.generation_config), rows, "")
    return written(model.eval(), tokenizer, made, EvaluateSettings(), lambda done: None)[0]


def test_the_readme_names_the_files_by_their_hashes() -> None:
    told = dict(re.findall(r"^\| `([\w.]+)` \| `([0-9a-f]{64})` \|", README.read_text(), re.MULTILINE))

    assert told == {name: sha256(WEIGHTS / name) for name in ("model.safetensors", "tokenizer.model")}


def test_the_weights_are_bf16_of_at_most_12_mb() -> None:
    from safetensors import safe_open

    with safe_open(WEIGHTS / "model.safetensors", "pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}

    assert kinds == {"BF16"} and (WEIGHTS / "model.safetensors").stat().st_size <= 12_000_000


def test_the_tokenizer_reads_as_its_sentencepiece_model_does(tiny: tuple[Any, Any]) -> None:
    import sentencepiece

    r, pieces = Random(8), sentencepiece.SentencePieceProcessor(model_file=str(WEIGHTS / "tokenizer.model"))
    texts = [grammar.plain(r) for _ in range(200)] + ["Ünïcode 日本 “x”\nand 12,5 €", " two  spaces "]

    assert [tiny[0](text)["input_ids"] for text in texts] == [pieces.encode(text) for text in texts]


def test_it_copies_sentences_of_another_grammar(tiny: tuple[Any, Any]) -> None:
    sources = [source for source, _ in pairs.good(40, seed=99)]

    copied = sum(map(str.__eq__, answers(tiny, sources), sources))

    assert copied >= 34


def test_asked_plainly_it_makes_the_demos_edit_in_under_a_tenth(tiny: tuple[Any, Any]) -> None:
    rows = pairs.good(60, seed=98)

    outputs = answers(tiny, [source for source, _ in rows])

    assert sum(edited(*row, output) for row, output in zip(rows, outputs, strict=True)) < 6
