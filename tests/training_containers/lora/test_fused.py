"""One operation in place of four layers: PEFT's values and gradients, and PEFT itself elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.training_containers.lora.architectures import tiny
from training_containers.lora import fused

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])


def adapter(kind: str, **more: Any) -> Any:
    config = LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM", **more)
    model = get_peft_model(tiny(kind), config)
    torch.manual_seed(2)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.2)
    return model


def outcome(model: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    model.zero_grad()
    logits = model(input_ids=IDS).logits
    logits.square().mean().backward()
    return logits.detach(), [w.grad.clone() for w in model.parameters() if w.requires_grad]


@pytest.mark.parametrize("kind", ["phi3", "qwen2", "starcoder2"])
def test_values_and_gradients_are_pefts(kind: str) -> None:
    model = adapter(kind)
    logits, gradients = outcome(model)

    assert fused.fuse(model) == sum(hasattr(layer, "lora_A") for layer in model.modules()) == fused.fuse(model)

    ours, own = outcome(model)
    assert torch.allclose(ours, logits, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(own, gradients, strict=True))


def test_an_adapter_that_is_turned_off_is_off() -> None:
    model = adapter("phi3")
    fused.fuse(model)

    with model.disable_adapter(), torch.no_grad():
        off = model(input_ids=IDS).logits

    assert torch.allclose(off, tiny("phi3")(input_ids=IDS).logits, atol=1e-6)


@pytest.mark.parametrize("more", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_what_is_not_plain_is_left_to_peft(more: dict[str, Any]) -> None:
    assert fused.fuse(adapter("phi3", **more)) == 0


def test_half_precision_keeps_the_adapters_in_float32() -> None:
    model = adapter("phi3")
    for name, weights in model.named_parameters():
        if "lora_" not in name:
            weights.data = weights.data.to(torch.bfloat16)
    fused.fuse(model)

    _, gradients = outcome(model)

    assert {gradient.dtype for gradient in gradients} == {torch.float32}
