"""LoRA on a CPU: non-padding tokens a second, against TRL's SFTTrainer and transformers' Trainer at their defaults.

A random Phi-3-shaped model of 23 million parameters (width 512, 6 blocks, fused projections), adapters of rank 16 on
every linear layer, rows of log-normal lengths (median about 70 tokens, the longest near 900), loss on every token, 8
rows a step in every arm, the same rows. Included: one epoch of `trainer.train()`, optimizer, logging and all.
Not included: imports, the model's making, evaluation, saving.
`ours` is what lora-sft does: the base in bf16 where the processor has it, adapters in float32, rows packed under a
block-diagonal mask, no checkpointing. `trl` and `hf` get the same model in float32, as they load it, and nothing else:
TRL turns on bf16 autocast and activation checkpointing by itself, and both pad.
Checked first: the loss of every packed row is that of the row alone, by transformers' own attention, to 1e-3.
Checked after each epoch: its mean training loss is that of the other arms to 0.01 nats, for they take the same steps.
Floor: a bf16 product of 1024 x 1024 matrices, whose speed is that of the machine at that moment.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from typing import Any

ROUNDS = 5
ROWS, STEP = 64, 8
SHAPE = {"vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 6,
         "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 1024,
         "original_max_position_embeddings": 1024, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
         "pad_token_id": 0}  # fmt: skip
AIM = 5.0


def lengths(count: int = ROWS, seed: int = 0) -> list[int]:
    draw = random.Random(seed)
    return [max(8, min(900, int(draw.lognormvariate(4.3, 1.0)))) for _ in range(count)]


def rows(seed: int = 1) -> list[list[int]]:
    draw = random.Random(seed)
    return [draw.choices(range(3, SHAPE["vocab_size"]), k=count) for count in lengths()]


def model(dtype: Any, attention: str | None = None) -> Any:
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    torch.manual_seed(0)
    config = Phi3Config(**SHAPE)
    if attention:
        config._attn_implementation = attention
    return Phi3ForCausalLM(config).to(dtype)


def _peft() -> Any:
    from peft import LoraConfig

    names = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    return LoraConfig(r=16, lora_alpha=32, target_modules=names, task_type="CAUSAL_LM")


def ours(rows: list[list[int]], folder: str) -> Any:
    from datasets import Dataset
    from peft import get_peft_model
    from trl import SFTConfig

    from training_containers.lora import base, fused, packing

    adapter = get_peft_model(model(base.dtype("cpu"), "eager"), _peft())
    packing.enable(adapter)
    fused.fuse(adapter)
    config = SFTConfig(
        output_dir=folder, num_train_epochs=1, per_device_train_batch_size=STEP, use_cpu=True, bf16=False,
        activation_checkpointing=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
        optim="adamw_torch_fused", remove_unused_columns=False, report_to="none", disable_tqdm=True, save_strategy="no",
        dataloader_pin_memory=False,
    )  # fmt: skip
    return packing.PackedTrainer(
        model=adapter,
        args=config,
        processing_class=_tokenizer(),
        train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
        data_collator=packing.collate,
    )


def trl(rows: list[list[int]], folder: str) -> Any:
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=folder, num_train_epochs=1, use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no"
    )
    return SFTTrainer(
        model=model(torch.float32),
        args=config,
        processing_class=_tokenizer(),
        train_dataset=Dataset.from_dict({"input_ids": rows}),
        peft_config=_peft(),
    )


def hf(rows: list[list[int]], folder: str) -> Any:
    import torch
    from datasets import Dataset
    from peft import get_peft_model
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=folder, num_train_epochs=1, use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no"
    )
    return Trainer(
        model=get_peft_model(model(torch.float32), _peft()),
        args=arguments,
        processing_class=_tokenizer(),
        train_dataset=Dataset.from_dict({"input_ids": rows}),
        data_collator=DataCollatorForLanguageModeling(_tokenizer(), mlm=False),
    )


ARMS = {"ours": ours, "trl": trl, "hf": hf}


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    from training_containers.tiny import pairs

    return AutoTokenizer.from_pretrained(os.path.join(os.path.dirname(pairs.__file__), "weights"))


def difference(rows: list[list[int]]) -> float:
    """The largest difference between a row's mean loss packed and by itself, nats, in float32."""
    import torch
    from torch.nn.functional import cross_entropy

    from training_containers.lora import packing

    alone_by, worst = model(torch.float32, "eager").eval(), 0.0
    with torch.no_grad():
        for at in range(0, len(rows), STEP):
            some = rows[at : at + STEP]
            alone = [
                cross_entropy(alone_by(torch.tensor([r])).logits[0, :-1], torch.tensor(r[1:])).item() for r in some
            ]
            with packing.packed(alone_by):
                batch = packing.collate([{"input_ids": r, "labels": r} for r in some])
                losses, number = packing.token_losses(alone_by, batch)
            packed = [losses[number == n].mean().item() for n in range(len(some))]
            worst = max(worst, *(abs(a - b) for a, b in zip(alone, packed, strict=True)))
    return worst


def _floor() -> float:
    """GFLOP/s of a bf16 product."""
    import torch

    a = torch.randn(1024, 1024).to(torch.bfloat16)
    took = []
    for _ in range(15):
        began = time.process_time()
        a @ a
        took.append(time.process_time() - began)
    return 2 * 1024**3 / max(statistics.median(took), 1e-9) / 1e9


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Raw [wall seconds, CPU seconds] by arm, the floor of each round, the largest difference of a loss."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    every = rows()
    worst = difference(every)
    if worst > 1e-3:
        raise SystemExit(f"A packed row's loss differs from its own by {worst:.2g} nats.")
    samples: dict[str, list[list[float]]] = {name: [] for name in ARMS}
    losses: dict[str, float] = {}
    floors, draw = [], random.Random(0)
    for arm in ARMS.values():  # untimed: what a first pass alone pays for
        with tempfile.TemporaryDirectory() as folder:
            arm(every[:STEP], folder).train()
    for _ in range(rounds):
        floors.append(_floor())
        for name in draw.sample(sorted(ARMS), len(ARMS)):
            with tempfile.TemporaryDirectory() as folder:
                trainer = ARMS[name](every, folder)
                wall, cpu = time.monotonic(), time.process_time()
                losses[name] = trainer.train().training_loss
                samples[name].append([time.monotonic() - wall, time.process_time() - cpu])
        if max(losses.values()) - min(losses.values()) > 0.01:
            raise SystemExit(f"The arms did not train alike: {losses}.")
    moved = max(floors) / min(floors) - 1
    tokens = sum(map(len, every))
    return {"samples": samples, "tokens": tokens, "worst": worst, "losses": losses, "floors": floors,
            "floor_moved": moved, "void": moved > 0.2}  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """Medians over the rounds; the ratio is of tokens a CPU second, ours over the arm's, and of wall time beside it."""
    p50 = {name: [statistics.median(s[n] for s in told) for n in (0, 1)] for name, told in result["samples"].items()}
    lines = [
        "| arm | tokens/s | worst | tokens per CPU s | ours over it, wall | ours over it, CPU |",
        "|---|---|---|---|---|---|",
    ]
    for name, told in result["samples"].items():
        wall, cpu = p50[name]
        worst = result["tokens"] / max(sample[0] for sample in told)
        ratios = f"{wall / p50['ours'][0]:.1f} | {cpu / p50['ours'][1]:.1f}" if name != "ours" else " | "
        lines.append(
            f"| {name} | {result['tokens'] / wall:.0f} | {worst:.0f} | {result['tokens'] / cpu:.0f} | {ratios} |"
        )
    least = min(p50[name][0] for name in p50 if name != "ours") / p50["ours"][0]
    state = "void" if result["void"] else "holds"
    return "\n".join(lines) + (
        f"\n\nAt least {AIM:g} times either: {'yes' if least >= AIM else f'no, {least:.1f}'}. "
        f"A packed row's loss differs from its own by at most {result['worst']:.1e} nats, the arms' training losses by "
        f"{max(result['losses'].values()) - min(result['losses'].values()):.1e}. "
        f"Floor: {statistics.median(result['floors']):.0f} GFLOP/s a CPU second, moved by "
        f"{result['floor_moved']:.0%}: the run {state}."
    )


if __name__ == "__main__":
    print(table(run()))
