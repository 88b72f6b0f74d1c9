"""A few rows by heart, or no training; and nothing of it is left."""

from __future__ import annotations

import pytest
import torch
from millrace.errors import TrainingFailed

from tests.training_containers.lora.architectures import tiny
from tests.training_containers.lora.test_packing import rows
from training_containers.lora import targets
from training_containers.lora.probe import probe
from training_containers.lora.settings import LoraSettings

WANTED = LoraSettings(rank=8, alpha=16)


def test_rows_that_can_be_learned_are_and_the_adapter_is_as_it_was() -> None:
    model = targets.adapted(tiny("phi3"), WANTED)
    weights = [w for w in model.parameters() if w.requires_grad]
    before = [w.detach().clone() for w in weights]
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)

    made = probe(model, rows(6), rate=4e-3)

    assert made.after < made.before and 1 <= made.steps <= 16
    assert all(torch.equal(w, was) for w, was in zip(weights, before, strict=True))
    assert torch.equal(torch.rand(1), expected) and all(w.grad is None for w in weights)


def test_an_adapter_that_moves_nothing_ends_the_job() -> None:
    model = targets.adapted(tiny("phi3"), WANTED)
    for layer in model.modules():
        if hasattr(layer, "lora_A"):
            layer.scaling = {"default": 0.0}

    with pytest.raises(
        TrainingFailed, match=r"cannot learn even 4 rows by heart: their loss went from (\d\.\d+) to \1"
    ):
        probe(model, rows(6), rate=4e-3)
