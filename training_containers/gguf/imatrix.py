"""The importance matrix: which inputs of each matrix matter, from the job's own rows.

llama.cpp weighs the rounding error of a column by the mean square of the activation that it is multiplied with
(ggml-quants.c, `quant_weights`). llama-imatrix collects that with a build of its own; here forward hooks on the same
16-bit model in torch do, at the tokens that it will see in service. What is measured is handed over in memory.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import llama_cpp
import numpy as np
from millrace.errors import TrainingFailed
from numpy.typing import NDArray

Importance = dict[str, NDArray[np.float32]]
"""Name of a GGUF tensor -> mean square of each of its inputs."""

NAMES: Final = {
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.dense": "attn_output",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
"""Hugging Face's name within a block -> llama.cpp's. What is in no row here is quantised without, as ever."""
_BLOCK: Final = re.compile(r"layers\.(\d+)\.(.+)$")


def measured(model: Any, passages: Sequence[Sequence[int]]) -> Importance:
    """Run the token ids through the model and take the mean square of what enters each of its matrices."""
    import torch

    sums: dict[str, Any] = {}
    tokens = sum(map(len, passages))

    def watch(name: str) -> Any:
        def hook(_: Any, inputs: tuple[Any, ...]) -> None:
            square = inputs[0].detach().float().pow(2).flatten(0, -2).sum(0)
            sums[name] = sums[name] + square if name in sums else square

        return hook

    hooks = [layer.register_forward_pre_hook(watch(name)) for layer, name in _watched(model)]
    try:
        with torch.inference_mode():
            for ids in passages:
                model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    found = {name: (total / tokens).cpu().numpy().astype(np.float32) for name, total in sums.items()}
    if wrong := [name for name, values in found.items() if not np.isfinite(values).all()]:
        raise TrainingFailed(f"The activations that enter {wrong[0]} are not numbers: the training diverged.")
    return found


def _watched(model: Any) -> list[tuple[Any, str]]:
    """Modules and the GGUF tensors that they become; a tied head is the token embedding's tensor."""
    import torch

    found: list[tuple[Any, str]] = []
    for name, layer in model.named_modules():
        match = _BLOCK.search(name)
        if isinstance(layer, torch.nn.Linear) and match and match[2] in NAMES:
            found.append((layer, f"blk.{match[1]}.{NAMES[match[2]]}.weight"))
    head = model.get_output_embeddings()
    tied = head is not None and head.weight is model.get_input_embeddings().weight
    return [*found, *([(head, "token_embd.weight" if tied else "output.weight")] if head is not None else [])]


def handed(importance: Mapping[str, NDArray[np.float32]]) -> Any:
    """llama.cpp's list of them, ended by an empty one. It points into the arrays: keep both while it is used."""
    made: Any = (llama_cpp.llama_model_imatrix_data * (len(importance) + 1))()
    for place, (name, values) in zip(made, importance.items(), strict=False):
        place.name = name.encode()
        place.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        place.size = values.size
    return made
