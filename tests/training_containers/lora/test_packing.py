"""A packed row has the loss that it has by itself, whatever stands beside it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.training_containers.lora.architectures import tiny
from training_containers.lora import packing, targets
from training_containers.lora.data import Encoded
from training_containers.lora.settings import LoraSettings

KINDS = ("phi3", "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text")


def rows(count: int = 5, seed: int = 0) -> list[Encoded]:
    draw = random.Random(seed)
    return [
        Encoded(draw.choices(range(3, 96), k=draw.randint(1, 20)), draw.choices(range(3, 96), k=draw.randint(1, 12)))
        for _ in range(count)
    ]


def alone(model: Any, row: Encoded) -> torch.Tensor:
    """The mean loss of a row in a pass of its own, by transformers' own attention."""
    logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1].float()
    return cross_entropy(logits, torch.tensor(row.labels[1:]))


def batch(rows: list[Encoded]) -> dict[str, Any]:
    return packing.collate([{"input_ids": row.ids, "labels": row.labels} for row in rows])


@pytest.mark.parametrize("at_once", [packing.SEEN_BY, 5], ids=["whole", "cut"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_packed_row_has_the_loss_and_the_gradient_of_a_pass_of_its_own(
    kind: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "SEEN_BY", at_once)
    monkeypatch.setattr(packing, "CHUNK", 96 * at_once)
    model = targets.adapted(tiny(kind), LoraSettings(rank=2, alpha=4))
    torch.manual_seed(1)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.3)
    every = rows()
    expected = torch.stack([alone(model, row) for row in every])
    expected.sum().backward()
    gradients = {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}
    model.zero_grad()

    with packing.packed(model) as able:
        assert able
        losses, number = packing.token_losses(model, batch(every))
        means = torch.stack([losses[number == row].mean() for row in range(len(every))])
        means.sum().backward()

    assert torch.allclose(means, expected, atol=1e-4)
    assert gradients and all(
        torch.allclose(dict(model.named_parameters())[name].grad, wanted, atol=1e-3)
        for name, wanted in gradients.items()
    )
    assert model.config._attn_implementation == "eager"


def test_in_bfloat16_packed_and_alone_differ_by_no_more_than_its_rounding() -> None:
    model = tiny("phi3").to(torch.bfloat16)
    every = rows(8, seed=2)

    with torch.no_grad():
        expected = torch.stack([alone(model, row) for row in every])
        with packing.packed(model):
            losses, number = packing.token_losses(model, batch(every))
    means = torch.stack([losses[number == row].mean() for row in range(len(every))])
    assert torch.allclose(means, expected, atol=4e-3), (means - expected).abs().max()


def test_positions_restart_and_no_row_predicts_the_next() -> None:
    made = packing.collate([{"input_ids": [5, 6, 7], "labels": [5, 6, 7]}, {"input_ids": [8, 9], "labels": [-100, 9]}])

    assert made["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert made["labels"].tolist() == [[-100, 6, 7, -100, 9]]
    assert made["row_lengths"] == [3, 2]


def test_the_held_out_loss_is_the_same_for_every_size_of_pass() -> None:
    model, every = tiny("llama"), rows(7)

    found = [packing.target_loss(model, every, size) for size in (1, 3, 7)]

    assert found == pytest.approx([found[0]] * 3, abs=1e-5)


def test_attention_of_another_kind_is_computed_row_by_row() -> None:
    model, every = tiny("llama"), rows(4)
    expected = packing.target_loss(model, every, 4)

    model._supports_attention_backend = False

    assert packing.enable(model) is False and model.config._attn_implementation == "eager"
    assert packing.target_loss(model, every, 4) == pytest.approx(expected, abs=1e-5)


def test_checkpointed_activations_give_the_same_gradient() -> None:
    model = targets.adapted(tiny("phi3"), LoraSettings(rank=2, alpha=4)).train()
    packing.enable(model)
    packing.token_losses(model, batch(rows()))[0].mean().backward()
    weights = [w for w in model.parameters() if w.requires_grad]
    before = [w.grad.clone() for w in weights]
    model.zero_grad()

    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    packing.token_losses(model, batch(rows()))[0].mean().backward()

    assert all(torch.allclose(w.grad, was, atol=1e-6) for w, was in zip(weights, before, strict=True))
