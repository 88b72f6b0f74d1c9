"""Parity measured right: against scipy, against Hugging Face, and on files that are broken on purpose."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training_containers.gguf import phi3
from training_containers.gguf import parity
from training_containers.serve import header
from training_containers.serve.llama import Context, Model, Sampling


def talk(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def tokenizer(merged: Path) -> Any:
    return AutoTokenizer.from_pretrained(merged)


@pytest.fixture(scope="module")
def reference(merged: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()


def test_kl_is_scipys(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    p, q = (draw.normal(0, 3, (50, 321)).astype(np.float32) for _ in range(2))

    expected = rel_entr(np.exp(log_softmax(p.astype(float), axis=1)), np.exp(log_softmax(q.astype(float), axis=1)))

    np.testing.assert_allclose(parity.kl(p, q), expected.sum(axis=1), rtol=1e-9)


def test_a_model_is_no_distance_from_itself_and_some_from_another(f16: Path) -> None:
    rows = [np.random.default_rng(i).normal(size=(4, 9)).astype(np.float32) for i in range(3)]
    other = [row[:, ::-1].copy() for row in rows]

    same, far = parity.distance(iter(rows), iter(rows)), parity.distance(iter(rows), iter(other))

    assert (same.kl_divergence, same.top_token_agreement, same.positions) == (0.0, 1.0, 12)
    assert far.kl_divergence > 0.1 and far.top_token_agreement < 1


def test_a_nan_is_not_taken_for_agreement() -> None:
    rows = np.ones((2, 3), np.float32)
    found = parity.distance(iter([rows]), iter([rows * np.nan]))

    assert not found.kl_divergence <= 1e9


def test_tokens_template_and_round_trip_agree_with_hugging_face(f16: Path, tokenizer: Any) -> None:
    talks = [talk(text) for text in (*parity.PROBES, *phi3.sentences(20))]

    assert parity.disagreement(tokenizer, Model(f16), talks) is None


def test_a_gguf_that_cuts_text_otherwise_is_noticed(f16: Path, tokenizer: Any, base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = phi3.TEMPLATE.replace("<|end|>", "<|end|> ")

    assert "chat template" in str(parity.disagreement(tokenizer, Model(f16), [talk("Hello.")]))


def test_the_f16_file_says_what_torch_says(f16: Path, reference: Any) -> None:
    model = Model(f16)
    passages = [parity.passage(model, talk(text), "The report is in.", 128) for text in phi3.sentences(6)]

    found = parity.distance(parity.torch_logits(reference, passages), parity.logits(Context(model, 128), passages))

    assert found.kl_divergence < 1e-3
    assert found.top_token_agreement > 0.98


def test_greedy_answers_of_llama_cpp_are_hugging_faces(f16: Path, reference: Any) -> None:
    model = Model(f16)
    context = Context(model, 128)
    same = 0
    texts = phi3.sentences(12, seed=5)
    for text in texts:
        prompt = model.prompt(talk(text))
        ours = list(context.generate(prompt, 16, Sampling()))
        theirs = reference.generate(torch.tensor([prompt]), max_new_tokens=16, do_sample=False)[0, len(prompt) :]
        same += ours == [t for t in theirs.tolist() if not model.ends(t)]

    assert same >= 10  # float16 activations may turn a near tie


def test_a_corrupted_tensor_shows_in_the_divergence(f16: Path, reference: Any, tmp_path: Path) -> None:
    broken = shutil.copy(f16, tmp_path / "broken.gguf")
    tensor = next(t for t in header.read(f16).tensors if t.name == "blk.0.ffn_up.weight")
    noise = np.random.default_rng(0).normal(0, 0.3, tensor.size_bytes // 2).astype(np.float16)
    with broken.open("r+b") as file:
        file.seek(tensor.offset)
        file.write(noise.tobytes())
    model = Model(broken)
    passages = [parity.passage(model, talk(text), "The report is in.", 128) for text in phi3.sentences(4)]

    found = parity.distance(parity.torch_logits(reference, passages), parity.logits(Context(model, 128), passages))

    assert found.kl_divergence > 0.2


def test_a_passage_keeps_its_end_when_it_must_be_cut(f16: Path) -> None:
    model = Model(f16)
    long = " ".join(phi3.sentences(60))

    one = parity.passage(model, talk(long), long, 64)

    assert len(one.prompt) + len(one.completion) == 64
    assert one.completion[-1] == model.end_of_turn
    assert model.text_of(one.prompt[-2]) == "<|assistant|>"


def test_logits_kept_on_disk_are_the_same(tmp_path: Path) -> None:
    rows = [np.random.default_rng(i).normal(size=(i + 1, 5)).astype(np.float32) for i in range(3)]

    kept = parity.Kept(tmp_path / "kept", iter(rows))

    for _ in range(2):
        assert all(np.array_equal(a, b) for a, b in zip(kept, rows, strict=True))
