"""The base of a job: channel `base`, a Hugging Face folder of safetensors. No code of the folder is run."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # containers have no network; looking for one costs seconds

import torch
from millrace import contract
from millrace.errors import InvalidInput
from transformers import AutoModelForCausalLM, AutoTokenizer

from training_containers.common import manifest
from training_containers.common.job import Job

SMALL = 20_000_000
"""Parameters under which a second thread costs more than it brings on a CPU that has other work: waiting for each
other made 83 s of CPU out of 46 s (millrace-tiny, 205 steps, load 4 on 2 cores)."""


def folder(job: Job) -> Path:
    found = job.channel("base")
    if not (found / "config.json").is_file():
        raise InvalidInput("The channel `base` has no config.json: it must hold a model's folder.")
    if not list(found.glob("*.safetensors")):
        raise InvalidInput("The channel `base` has no safetensors; other weights are not read.")
    return found


def load(path: Path) -> tuple[Any, Any]:
    """(tokenizer, model) on the device, in the arithmetic that the device is quick in."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype(), use_safetensors=True, **_attention())
    except (ValueError, OSError, KeyError) as error:
        raise InvalidInput(f"The channel `base` is not a causal language model that can be read: {error}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if device() == "cpu" and model.num_parameters() < SMALL:
        torch.set_num_threads(1)
    return tokenizer, model.to(device())


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def dtype() -> torch.dtype:
    """bf16 where the processor multiplies it in hardware: 11 times fp32 on one with AMX."""
    if device() == "cuda":
        return torch.bfloat16
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    quick = device() == "cpu" and ("amx_bf16" in flags or "avx512_bf16" in flags)
    return torch.bfloat16 if quick else torch.float32


def _attention() -> dict[str, str]:
    # On a CPU the fused kernel's backward pass takes twice as long as plain products at a few hundred tokens.
    return {"attn_implementation": "eager"} if device() == "cpu" else {}


def identity(path: Path) -> str:
    """What the base is: the hash of its manifest, or over its configuration and weights."""
    if (path / contract.MANIFEST).is_file():
        return manifest.sha256(path / contract.MANIFEST)
    parts = [path / "config.json", *sorted(path.glob("*.safetensors"))]
    return hashlib.sha256(json.dumps([manifest.sha256(part) for part in parts]).encode()).hexdigest()
