"""Which layers an adapter goes onto: all linear ones of every block, by preset where the architecture is known.

QLoRA (Dettmers et al. 2023, section 4) found adapters on all linear layers to be what reaches full fine-tuning. PEFT
takes a name that it cannot find for granted as long as one other is there; here every match is counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import torch
from millrace.errors import TrainingFailed
from peft import LoraConfig, get_peft_model

from .settings import LoraSettings

_SEVEN: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PRESETS: Final[dict[str, tuple[str, ...]]] = {
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    **dict.fromkeys(
        ("llama", "mistral", "ministral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "olmo2",
         "olmo3", "granite", "cohere", "cohere2", "stablelm", "seed_oss"),
        _SEVEN,
    ),
    "glm4": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"),
    "phi": ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
    "starcoder2": ("q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"),
    "gpt_neox": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
}  # fmt: skip
"""model_type -> names of the linear layers, each once in every block. Others get every linear layer that they have."""


def linear_names(model: Any) -> list[str]:
    """Full names of every linear layer but the output embeddings: fused ones (Phi-3's qkv_proj) as they stand."""
    head = model.get_output_embeddings()
    return [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear) and layer is not head]


def chosen(model: Any) -> list[str]:
    """The names to adapt. TrainingFailed where a known architecture is not built as its preset says."""
    found = Counter(name.rpartition(".")[2] for name in linear_names(model))
    preset = PRESETS.get(model.config.model_type)
    if preset is None:
        return sorted(found)
    blocks = model.config.num_hidden_layers
    wrong = [name for name in {*preset, *found} if found[name] != (blocks if name in preset else 0)]
    if wrong:
        told = ", ".join(f"{name} {found[name]} times" for name in sorted(wrong))
        raise TrainingFailed(
            f"The base says that it is a {model.config.model_type} of {blocks} blocks, and has {told} where "
            f"{', '.join(preset)} are expected once in each."
        )
    return sorted(preset)


def adapted(model: Any, wanted: LoraSettings) -> Any:
    """The model with an adapter, float32, on all its linear layers. TrainingFailed where one is missed."""
    names = linear_names(model)
    config = LoraConfig(
        r=wanted.rank,
        lora_alpha=wanted.alpha,
        lora_dropout=wanted.dropout,
        target_modules=chosen(model),
        task_type="CAUSAL_LM",
    )
    adapter = get_peft_model(model, config)
    matched = sum(hasattr(layer, "lora_A") for layer in adapter.modules())
    if not names or matched != len(names):
        raise TrainingFailed(f"The adapter matched {matched} of the base's {len(names)} linear layers.")
    return adapter
