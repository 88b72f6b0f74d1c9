"""Folding an adapter into its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from millrace.errors import InvalidInput
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from training_containers.gguf import merge


def test_the_merge_is_pefts_own_up_to_the_rounding_to_sixteen_bit(base: Path, adapter: Path, merged: Path) -> None:
    full = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    expected = PeftModel.from_pretrained(full, adapter).merge_and_unload().state_dict()

    ours = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).state_dict()

    assert ours.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(ours[name], weight.half().float()), name


def test_every_matrix_of_the_adapter_is_used(base: Path, adapter: Path, tmp_path: Path) -> None:
    assert merge.merge(base, adapter, tmp_path / "out") == 8


def test_what_is_written_is_float16_safetensors_and_says_so(merged: Path) -> None:
    assert {t.dtype for t in load_file(merged / "model.safetensors").values()} == {torch.float16}
    assert json.loads((merged / "config.json").read_text())["dtype"] == "float16"


def test_an_adapter_of_another_model_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    foreign = shutil.copytree(adapter, tmp_path / "foreign")
    tensors = load_file(foreign / "adapter_model.safetensors")
    renamed = {name.replace("layers.1.", "layers.7."): tensor for name, tensor in tensors.items()}
    save_file(renamed, foreign / "adapter_model.safetensors")

    with pytest.raises(InvalidInput, match=r"4 matrices of the adapter have no partner"):
        merge.merge(base, foreign, tmp_path / "out")


def test_an_adapter_that_overflows_sixteen_bit_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    wild = shutil.copytree(adapter, tmp_path / "wild")
    tensors = load_file(wild / "adapter_model.safetensors")
    save_file({name: tensor * 1e6 for name, tensor in tensors.items()}, wild / "adapter_model.safetensors")

    with pytest.raises(InvalidInput, match="float16's range"):
        merge.merge(base, wild, tmp_path / "out")


@pytest.mark.parametrize("change", [{"use_dora": True}, {"peft_type": "IA3"}])
def test_what_cannot_be_merged_by_addition_is_refused(
    base: Path, adapter: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    other = shutil.copytree(adapter, tmp_path / "other")
    config = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps(config | change))

    with pytest.raises(InvalidInput, match="merged here"):
        merge.merge(base, other, tmp_path / "out")


def test_pickled_weights_are_not_read(base: Path, adapter: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    torch.save(load_file(base / "model.safetensors"), pickled / "pytorch_model.bin")
    shutil.copy(base / "config.json", pickled)

    with pytest.raises(InvalidInput, match="can run code"):
        merge.merge(pickled, adapter, tmp_path / "out")
