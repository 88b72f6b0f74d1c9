"""Every linear layer of every known architecture gets an adapter, or the job ends."""

from __future__ import annotations

import pytest
import torch
from millrace.errors import TrainingFailed

from tests.training_containers.lora.architectures import tiny
from training_containers.lora import targets
from training_containers.lora.settings import LoraSettings

WANTED = LoraSettings(rank=2, alpha=4)


@pytest.mark.parametrize("kind", sorted(targets.PRESETS))
def test_a_preset_is_every_linear_layer_of_its_architecture_and_each_is_matched(kind: str) -> None:
    model = tiny(kind)
    linear = len(targets.linear_names(model))

    adapter = targets.adapted(model, WANTED)

    trained = [name for name, weights in adapter.named_parameters() if weights.requires_grad]
    assert set(adapter.peft_config["default"].target_modules) == set(targets.PRESETS[kind])
    assert linear == 2 * len(targets.PRESETS[kind]) and len(trained) == 2 * linear
    assert {weights.dtype for weights in adapter.parameters() if weights.requires_grad} == {torch.float32}


def test_an_unknown_architecture_gets_every_linear_layer_that_it_has() -> None:
    model = tiny("llama")
    model.config.model_type = "brand_new"

    assert targets.chosen(model) == sorted(targets.PRESETS["llama"])


def test_a_model_that_is_not_built_as_its_preset_says_ends_the_job() -> None:
    model = tiny("phi3")
    model.model.layers[1].mlp.gate_up_proj = torch.nn.Identity()
    model.model.layers[0].mlp.extra = torch.nn.Linear(2, 2)

    with pytest.raises(TrainingFailed, match=r"phi3 of 2 blocks, and has extra 1 times, gate_up_proj 1 times where"):
        targets.adapted(model, WANTED)


def test_a_layer_that_was_left_out_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "get_peft_model", lambda model, config: model)

    with pytest.raises(TrainingFailed, match="matched 0 of the base's 8 linear layers"):
        targets.adapted(tiny("phi3"), WANTED)
