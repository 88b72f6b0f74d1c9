"""The base of a job: channel `base`, a Hugging Face folder of safetensors. No code of the folder is run."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # containers have no network; looking for one costs seconds

import torch
from millrace import contract
from millrace.errors import InvalidInput
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from training_containers.common import manifest
from training_containers.common.job import Job

SMALL = 20_000_000
"""Parameters under which a second thread costs more than it brings on a CPU that has other work: waiting for each
other made 83 s of CPU out of 46 s (millrace-tiny, 205 steps, load 4 on 2 cores)."""

_UNREADABLE = (ValueError, OSError, KeyError)


def folder(job: Job) -> Path:
    found = job.channel("base")
    if not (found / "config.json").is_file():
        raise InvalidInput("The channel `base` has no config.json: it must hold a model's folder.")
    if not list(found.glob("*.safetensors")):
        raise InvalidInput("The channel `base` has no safetensors; other weights are not read.")
    return found


def load(path: Path, where: str = "auto", quantization: str = "none") -> tuple[Any, Any]:
    """(tokenizer, model) on the device, in the arithmetic that the device is quick in."""
    return tokenizer(path), model(path, device(where), quantization)


def tokenizer(path: Path) -> Any:
    try:
        found = AutoTokenizer.from_pretrained(path)
    except _UNREADABLE as error:
        raise InvalidInput(f"The channel `base` has no tokenizer that can be read: {error}") from error
    if found.pad_token_id is None:
        found.pad_token = found.eos_token
    return found


def described(path: Path) -> tuple[Any, Any]:
    """(configuration, generation configuration): what can be known before the weights are read."""
    try:
        config = AutoConfig.from_pretrained(path).get_text_config()
        if (path / "generation_config.json").is_file():
            return config, GenerationConfig.from_pretrained(path)
        return config, GenerationConfig.from_model_config(config)
    except _UNREADABLE as error:
        raise InvalidInput(f"The channel `base` is not a causal language model that can be read: {error}") from error


def model(path: Path, place: str, quantization: str = "none") -> Any:
    extra: dict[str, Any] = {"attn_implementation": "eager"} if place == "cpu" else {}
    # On a CPU the fused kernel's backward pass takes twice as long as plain products at a few hundred tokens.
    if quantization == "4bit":
        extra |= {"quantization_config": four_bits(place), "device_map": {"": 0}}
    try:
        found = AutoModelForCausalLM.from_pretrained(path, dtype=dtype(place), use_safetensors=True, **extra)
    except _UNREADABLE as error:
        raise InvalidInput(f"The channel `base` is not a causal language model that can be read: {error}") from error
    if place == "cpu" and found.num_parameters() < SMALL:
        torch.set_num_threads(1)
    return found if quantization == "4bit" else found.to(place)


def four_bits(place: str) -> Any:
    """NF4 with double quantisation, computed in bf16: QLoRA (Dettmers et al. 2023). Only where a GPU is."""
    if place != "cuda" or not torch.cuda.is_available():
        raise InvalidInput(f"A base in 4 bits needs an NVIDIA GPU, and this job computes on {place}.")
    if find_spec("bitsandbytes") is None:
        raise InvalidInput("A base in 4 bits needs the package bitsandbytes, which this image does not hold.")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def device(wanted: str = "auto") -> Literal["cpu", "cuda", "mps"]:
    """Where to compute. InvalidInput where what was asked for is not there."""
    there: dict[str, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted != "auto" and not there.get(wanted):
        names = ", ".join(name for name, is_there in there.items() if is_there)
        raise InvalidInput(f"There is no device {wanted!r} on this machine; there is {names}.")
    found: Any = next(name for name, is_there in there.items() if is_there) if wanted == "auto" else wanted
    return found  # type: ignore[no-any-return]


def dtype(place: str) -> torch.dtype:
    """bf16 where it is multiplied in hardware: 11 times fp32 on a processor with AMX."""
    if place == "cuda":
        return torch.bfloat16
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    quick = place == "cpu" and ("amx_bf16" in flags or "avx512_bf16" in flags)
    return torch.bfloat16 if quick else torch.float32


def identity(path: Path) -> str:
    """What the base is: the hash of its manifest, or over its configuration and weights."""
    if (path / contract.MANIFEST).is_file():
        return manifest.sha256(path / contract.MANIFEST)
    parts = [path / "config.json", *sorted(path.glob("*.safetensors"))]
    return hashlib.sha256(json.dumps([manifest.sha256(part) for part in parts]).encode()).hexdigest()
