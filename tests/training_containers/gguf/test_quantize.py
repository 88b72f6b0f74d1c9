"""Quantising an f16 GGUF."""

from __future__ import annotations

from pathlib import Path

import pytest
from millrace.errors import InvalidInput, TrainingFailed

from training_containers.gguf import quantize
from training_containers.serve import header
from training_containers.serve.llama import Model

GGML = {"Q8_0": 8, "Q6_K": 14, "Q5_K_M": 13, "Q4_K_M": 12}
"""Name -> ggml's number of the type that most matrices get."""


def test_each_step_of_the_ladder_is_smaller_and_of_its_type(f16: Path, tmp_path: Path) -> None:
    sizes = [f16.stat().st_size]
    for type in quantize.TYPES:
        path = quantize.quantize(f16, tmp_path / f"{type}.gguf", type, 2)
        kinds = [t.type for t in header.read(path).tensors if len(t.shape) == 2]
        assert max(set(kinds), key=kinds.count) == GGML[type]
        sizes.append(path.stat().st_size)

    assert sizes == sorted(sizes, reverse=True)


def test_an_unknown_type_is_refused_by_name(f16: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Q3_X"):
        quantize.quantize(f16, tmp_path / "x.gguf", "Q3_X", 1)


def test_what_is_no_gguf_cannot_be_quantised(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"GGUF but no more")

    with pytest.raises(TrainingFailed, match=r"no\.gguf"):
        quantize.quantize(tmp_path / "no.gguf", tmp_path / "x.gguf", "Q8_0", 1)


def test_without_the_space_prefix_the_weights_stay_and_a_marker_is_not_followed_by_a_space(
    f16: Path, tmp_path: Path
) -> None:
    again = quantize.without_space_prefix(f16, tmp_path / "again.gguf")

    assert header.read(again).metadata["tokenizer.ggml.add_space_prefix"] is False
    assert [t.size_bytes for t in header.read(again).tensors] == [t.size_bytes for t in header.read(f16).tensors]
    model = Model(again)
    assert model.text_of(model.tokenize("<|user|>the")[1])[0] != "▁"
