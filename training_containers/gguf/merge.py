"""A LoRA adapter folded into its base, tensor by tensor, 16 bit out.

W' = W + scale * B A in float32, then one rounding to float16: no model is built, so a base of any architecture and
size is merged in the memory of its largest shard. scale = alpha / r, or alpha / sqrt(r) with rsLoRA.
Source: Hu et al. 2021, section 4.1; file names and keys as PEFT 0.21 writes them.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from millrace.errors import InvalidInput
from safetensors import safe_open
from safetensors.torch import save_file

_PREFIX: Final = "base_model.model."
_UNSUPPORTED: Final = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "layer_replication",
    "trainable_token_indices",
    "lora_bias",
)
_COPIED: Final = ("*.json", "*.model", "*.jinja", "*.txt")


def merge(base: Path, adapter: Path, to: Path) -> int:
    """Write the merged Hugging Face folder; returns how many matrices changed. No adapter matrix may be left over."""
    deltas = _Deltas(adapter)
    to.mkdir(parents=True, exist_ok=True)
    for pattern in _COPIED:
        for path in base.glob(pattern):
            shutil.copyfile(path, to / path.name)
    shards = sorted(base.glob("*.safetensors"))
    if not shards:
        raise InvalidInput("The base model has no safetensors file: weights in other formats can run code.")
    for shard in shards:
        with safe_open(shard, "pt") as file:
            merged = {name: deltas.add(name, file.get_tensor(name)) for name in file.keys()}
        save_file(merged, to / shard.name, metadata={"format": "pt"})
    _say_float16(to / "config.json")
    if deltas.left:
        raise InvalidInput(
            f"{len(deltas.left)} matrices of the adapter have no partner in the base, such as {min(deltas.left)}: "
            "it was trained on another model."
        )
    return deltas.added


class _Deltas:
    """What the adapter adds to each of the base's tensors; a tensor is taken once."""

    def __init__(self, adapter: Path) -> None:
        self.config = _config(adapter)
        with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
            self.tensors = {name.removeprefix(_PREFIX): file.get_tensor(name) for name in file.keys()}
        self.left = {_target(name) for name in self.tensors}
        self.added = 0

    def add(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        full = self.tensors.get(name, weight).float()  # modules_to_save and biases come whole
        module = name.removesuffix(".weight")
        for a, b in (("lora_A.weight", "lora_B.weight"), ("lora_embedding_A", "lora_embedding_B")):
            if f"{module}.{a}" in self.tensors:
                full = full + self._delta(module, self.tensors[f"{module}.{a}"], self.tensors[f"{module}.{b}"], a)
        if name in self.left:
            self.left.discard(name)
            self.added += 1
        half: torch.Tensor = full.to(torch.float16)
        if not torch.isfinite(half).all():
            raise InvalidInput(f"{name} leaves float16's range once merged: the training diverged.")
        return half.contiguous()

    def _delta(self, module: str, a: torch.Tensor, b: torch.Tensor, kind: str) -> torch.Tensor:
        rank = _by_pattern(self.config.get("rank_pattern"), module, self.config["r"])
        alpha = _by_pattern(self.config.get("alpha_pattern"), module, self.config["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)
        delta: torch.Tensor = b.float() @ a.float() * scale
        return delta.t() if self.config.get("fan_in_fan_out") or "embedding" in kind else delta


def _config(adapter: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text())
    if config.get("peft_type") != "LORA":
        raise InvalidInput(f"The adapter is {config.get('peft_type')!r}; LORA is what can be merged here.")
    if used := [name for name in _UNSUPPORTED if config.get(name)]:
        raise InvalidInput(f"The adapter uses {', '.join(used)}, which cannot be merged here.")
    return config


def _target(name: str) -> str:
    """The base's tensor that an adapter tensor belongs to."""
    return re.sub(r"\.lora_(embedding_)?[AB](\.weight)?$", ".weight", name)


def _by_pattern(pattern: dict[str, float] | None, module: str, default: float) -> float:
    """PEFT's rank_pattern and alpha_pattern: a key is a regular expression for the end of a module's name."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def _say_float16(config: Path) -> None:
    said = json.loads(config.read_text())
    said.pop("torch_dtype", None)
    config.write_text(json.dumps(said | {"dtype": "float16"}, indent=1))
