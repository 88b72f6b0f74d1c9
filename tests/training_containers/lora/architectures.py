"""Tiny models of every architecture with a preset, with random weights."""

from __future__ import annotations

from typing import Any

SMALL = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "phi3": {"original_max_position_embeddings": 128, "sliding_window": 7},
    "mistral": {"sliding_window": 7},
    "gemma2": {"sliding_window": 7, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 7, "query_pre_attn_scalar": 8},
    "gpt_neox": {"rotary_pct": 1.0},
}


def tiny(kind: str, seed: int = 0) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **(SMALL | OWN.get(kind, {})))
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
