"""The importance matrix is what enters each matrix, llama.cpp takes it, and the file is no worse for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from training_containers.common.rows import Row
from training_containers.gguf import converter, imatrix, parity, quantize
from training_containers.serve import header
from training_containers.serve.llama import Context, Model
from training_containers.tiny import pairs

WEIGHTS = Path(pairs.__file__).with_name("weights")


@pytest.fixture(scope="module")
def tiny() -> Any:
    return AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tiny_f16(llama_cpp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """millrace-tiny itself: a model that has learned something, unlike random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    return converter.convert(Path(shutil.copytree(WEIGHTS, folder / "hf")), folder / "f16.gguf")


def passages(model: Model, count: int, seed: int) -> list[parity.Passage]:
    made = [Row("", source, target) for source, target in pairs.good(count, seed)]
    return [parity.passage(model, row.messages(""), row.target, 128) for row in made]


def test_it_is_the_mean_square_of_what_enters_each_matrix(tiny: Any) -> None:
    texts, seen = [[5, 9, 11], [4, 8, 15, 16, 23]], []
    layer = tiny.model.layers[2].mlp.down_proj
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0].detach().double()))

    found = imatrix.measured(tiny, texts)

    hook.remove()
    expected = torch.cat(seen).pow(2).mean(0).numpy()
    np.testing.assert_allclose(found["blk.2.ffn_down.weight"], expected, rtol=1e-4)
    assert not layer._forward_pre_hooks, "a hook is left on the model"


def test_every_matrix_of_the_file_is_weighed_by_as_many_values_as_it_has_columns(tiny: Any, tiny_f16: Path) -> None:
    found = imatrix.measured(tiny, [[5, 9, 11]])

    matrices = {t.name: t.shape[0] for t in header.read(tiny_f16).tensors if len(t.shape) == 2}
    assert {name: values.size for name, values in found.items()} == matrices


def test_a_file_weighed_by_its_own_rows_differs_from_the_plain_one_less(
    tiny: Any, tiny_f16: Path, tmp_path: Path
) -> None:
    whole = Model(tiny_f16)
    importance = imatrix.measured(tiny, [p.fed for p in passages(whole, 64, seed=1)])
    held_out = passages(whole, 24, seed=2)
    kept = parity.Kept(tmp_path / "logits", parity.logits(Context(whole, 128), held_out))

    def divergence(name: str, weights: imatrix.Importance | None) -> float:
        model = Model(quantize.quantize(tiny_f16, tmp_path / name, "Q4_K_M", 1, weights))
        return parity.distance(iter(kept), parity.logits(Context(model, 128), held_out)).kl_divergence

    plain, weighed = divergence("plain.gguf", None), divergence("weighed.gguf", importance)

    assert (tmp_path / "plain.gguf").read_bytes() != (tmp_path / "weighed.gguf").read_bytes()
    assert (tmp_path / "plain.gguf").stat().st_size == (tmp_path / "weighed.gguf").stat().st_size
    print(f"Q4_K_M of millrace-tiny: KL {plain:.5f} plain, {weighed:.5f} weighed")
    assert weighed <= plain
