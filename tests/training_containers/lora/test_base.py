"""Where a base is computed, and what it is refused for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from millrace.errors import InvalidInput

from tests.training_containers.lora.conftest import job_folder, rows, sentence
from training_containers.lora import base as bases


def test_the_device_is_chosen_or_given_and_one_that_is_not_there_is_named() -> None:
    assert bases.device("cpu") == "cpu" and bases.device() in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(InvalidInput, match=r"There is no device 'cuda' on this machine; there is .*cpu\."):
            bases.device("cuda")


def test_four_bits_are_refused_where_there_is_no_gpu_before_anything_is_read(tmp_path: Path, base: Path) -> None:
    job = job_folder(
        tmp_path, {"train": rows(50), "base": base}, strategy="lora-sft", quantization="4bit", device="cpu"
    )

    assert sentence(job) == "A base in 4 bits needs an NVIDIA GPU, and this job computes on cpu."


def test_what_the_folder_says_is_known_before_the_weights_are_read(base: Path) -> None:
    config, generation = bases.described(base)

    assert (config.model_type, config.hidden_size, generation.eos_token_id) == ("phi3", 64, 5)


def test_the_identity_follows_the_weights(base: Path, tmp_path: Path) -> None:
    import shutil

    other = shutil.copytree(base, tmp_path / "other")
    assert bases.identity(other) == bases.identity(base)
    with next(other.glob("*.safetensors")).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")

    assert bases.identity(other) != bases.identity(base)
