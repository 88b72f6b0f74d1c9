"""What a training will need, held against what autograd really keeps and what the disk really gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from millrace.errors import InvalidInput

from tests.training_containers.lora.architectures import tiny
from training_containers.lora import packing, room, targets
from training_containers.lora.room import Base
from training_containers.lora.settings import SftSettings

WANTED = SftSettings(rank=4, alpha=8, batch_size=4, max_length=128)
LENGTHS = [100, 90, 80, 70, 20, 10]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    tiny("llama").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def base(folder: Path) -> Base:
    return Base.of(folder, tiny("llama").config)


def test_the_headers_name_every_tensor_with_its_shape(folder: Path, base: Base) -> None:
    model = tiny("llama")
    shapes = {name: tuple(weights.shape) for name, weights in model.named_parameters()}

    assert room.headers(folder) == shapes
    assert base.parameters == model.num_parameters()
    trained = targets.adapted(model, WANTED).get_nb_trainable_parameters()[0]
    assert base.trainable(WANTED.rank) == trained


def test_what_is_kept_for_the_backward_pass_is_foreseen_within_a_factor_of_two(base: Base) -> None:
    model = targets.adapted(tiny("llama"), WANTED).train()
    packing.enable(model)
    batch = packing.collate([{"input_ids": [3] * n, "labels": [3] * n} for n in LENGTHS[:4]])
    sizes: dict[int, int] = {}
    weights = {w.untyped_storage().data_ptr() for w in model.parameters()}

    def kept(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        losses, _ = packing.token_losses(model, batch)

    foreseen = room.kept(base, WANTED, LENGTHS, 4)
    assert 0.5 < foreseen / sum(sizes.values()) < 2 and len(losses)


def test_the_ladder_is_climbed_down_on_paper_until_it_fits(base: Base) -> None:
    whole = room.memory(base, WANTED, LENGTHS, 4)

    same, nothing = room.settled(base, WANTED, LENGTHS, 4, free=whole)
    less, told = room.settled(base, WANTED, LENGTHS, 4, free=int(whole * 0.7))

    assert (same, nothing) == (WANTED, [])
    assert (less.batch_size, less.accumulation) == (2, 2) and "batch_size 2, accumulation 2" in told[0]


def test_a_machine_that_is_too_small_is_refused_with_both_figures(base: Base) -> None:
    with pytest.raises(InvalidInput, match=r"needs about 0\.0 GiB of memory even with rows of 128 tokens one by one"):
        room.settled(base, WANTED, LENGTHS, 4, free=1000)


def test_a_base_in_four_bits_needs_less(base: Base) -> None:
    four: Any = WANTED.model_copy(update={"quantization": "4bit"})

    assert room.memory(base, four, LENGTHS, 2) < room.memory(base, WANTED, LENGTHS, 2)


def test_a_disk_that_is_too_full_is_refused(
    base: Base, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=10 << 20))

    with pytest.raises(InvalidInput, match=r"10 MiB of disk are too few: .* need about 6\d MiB"):
        room.refuse_full_disk(base, folder, WANTED, tmp_path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((10**6).to_bytes(8, "little") + json.dumps({}).encode())

    with pytest.raises(InvalidInput, match=r"model\.safetensors .* is not a whole safetensors file"):
        room.headers(tmp_path)


def test_free_memory_is_what_the_machine_says() -> None:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))

    assert 0 < room.free_memory("cpu") <= int(total.split()[1]) * 1024
