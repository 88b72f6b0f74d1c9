"""Supervised fine-tuning with LoRA: channels `train`, `validation` and `base` in, a PEFT adapter out.

Measured on millrace-tiny with 651 pairs: five epochs take 44 s of one core, imports and all (more in tiny/README.md).
It cannot fail in silence: every linear layer is matched or the job ends, the template and its stop token are checked,
a held-out source among the training rows ends the job, and so does a loss that is not a number.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millrace.errors import InvalidInput, TrainingFailed

from training_containers.common import manifest, progress
from training_containers.common.job import Job
from training_containers.common.progress import Reporter

from . import base as bases
from . import data
from .data import Encoded, Row
from .settings import SftSettings

# isort: split
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    DataCollatorForSeq2Seq,
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

STRATEGY = "lora-sft"


def train(job: Job) -> None:
    """Read, check, train, keep the best of validation, write the adapter and its manifest."""
    began = time.monotonic()
    Reporter(1, status="loading").step(0)
    wanted = SftSettings.of(job.hyperparameters)
    set_seed(wanted.seed)
    path = bases.folder(job)
    training, validation = _rows(job)
    tokenizer, model = bases.load(path)
    encoded = _encode(tokenizer, model, training, wanted)
    checked = _encode(tokenizer, model, validation, wanted)
    if len(encoded) < wanted.minimum_rows:
        raise InvalidInput(
            f"{len(encoded)} training rows are too few to learn from: the minimum is {wanted.minimum_rows} "
            f"rows of at most {wanted.max_length} tokens."
        )
    wanted = advised(wanted, len(encoded), model.config.hidden_size)
    room(path, job.model)
    adapter = adapted(model, wanted)
    speaker = Speaker()
    trainer = _trainer(job, wanted, adapter, tokenizer, encoded, checked, speaker)
    before = trainer.evaluate()["eval_loss"] if checked else math.nan
    speaker.best = None
    ready = time.monotonic()
    trainer.train(resume_from_checkpoint=_checkpoint(job.checkpoints))
    seconds = time.monotonic() - ready
    after = trainer.evaluate()["eval_loss"] if checked else math.nan
    figures = {
        "train_rows": float(len(encoded)),
        "validation_rows": float(len(checked)),
        "rows_left_out": float(len(training) + len(validation) - len(encoded) - len(checked)),
        "train_loss": speaker.loss or math.nan,
        "base_validation_loss": before,
        "validation_loss": after,
        "steps": float(trainer.state.global_step),
        "epochs": float(trainer.state.epoch or 0.0),
        "trainable_parameters": float(sum(p.numel() for p in adapter.parameters() if p.requires_grad)),
        "tokens_per_s": sum(len(row.ids) for row in encoded) * float(trainer.state.epoch or 0.0) / seconds,
        "setup_s": ready - began,
        "train_s": seconds,
    }
    figures = {name: value for name, value in figures.items() if math.isfinite(value)}
    if "train_loss" not in figures:
        raise TrainingFailed("The training loss became infinite or not a number; try a smaller learning_rate.")
    _save(adapter, tokenizer, job.model, bases.identity(path))
    manifest.write(
        job.model,
        format="adapter",
        strategy=STRATEGY,
        metrics=figures,
        hyperparameters=wanted.model_dump(),
        source=Path(__file__).parent,
        base=bases.identity(path),
    )
    progress.metrics(figures)


def advised(wanted: SftSettings, rows: int, width: int) -> SftSettings:
    """The settings with the learning rate and the epochs filled in where they are 0.

    Rate: 2e-4 at width 3,072 (the usual one for LoRA), falling with the width. Epochs: about 3,200 rows seen.
    """
    rate = wanted.learning_rate or min(4e-3, 2e-4 * 3072 / width)
    return wanted.model_copy(
        update={"learning_rate": rate, "epochs": wanted.epochs or max(2, min(30, round(3200 / rows)))}
    )


def linear_names(model: Any) -> list[str]:
    """Full names of every linear layer but the output embeddings: fused ones (Phi-3's qkv_proj) as they stand."""
    head = model.get_output_embeddings()
    return [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear) and layer is not head]


def adapted(model: Any, wanted: SftSettings) -> Any:
    """The model with an adapter on all its linear layers. TrainingFailed where one was not matched."""
    names = linear_names(model)
    config = LoraConfig(
        r=wanted.rank,
        lora_alpha=wanted.alpha,
        lora_dropout=wanted.dropout,
        target_modules=sorted({name.rpartition(".")[2] for name in names}),
        task_type="CAUSAL_LM",
    )
    adapter = get_peft_model(model, config)
    matched = sum(hasattr(layer, "lora_A") for layer in adapter.modules())
    if not names or matched != len(names):
        raise TrainingFailed(f"The adapter matched {matched} of the base's {len(names)} linear layers.")
    return adapter


def room(base: Path, out: Path) -> None:
    """InvalidInput where the disk is too small for an adapter and its checkpoints, at most the base's size each."""
    size, free = sum(p.stat().st_size for p in base.glob("*.safetensors")), shutil.disk_usage(out).free
    if free < size // 4 + 64 * 2**20:
        raise InvalidInput(f"{free >> 20} MiB of disk are too few to write an adapter of a base of {size >> 20} MiB.")


class Speaker(TrainerCallback):  # type: ignore[misc]
    """Turns the trainer's events into progress lines."""

    def __init__(self) -> None:
        self.loss: float | None = None
        self.best: float | None = None
        self._reporter = Reporter(0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._reporter = Reporter(state.max_steps)
        self._reporter.step(state.global_step, epoch=0.0)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.loss = (logs or {}).get("loss", self.loss)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        loss = (metrics or {}).get("eval_loss")
        if loss is not None:
            self.best = loss if self.best is None else min(self.best, loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        epoch = round(float(state.epoch or 0.0), 3)
        self._reporter.step(state.global_step, epoch=epoch, loss=self.loss, best=self.best)


def _rows(job: Job) -> tuple[list[Row], list[Row]]:
    if not job.has("train"):
        raise InvalidInput("The job has no channel `train`.")
    training = data.rows(job.channel("train"), "train")
    held_out = {name: data.rows(job.channel(name), name) for name in ("validation", "test") if job.has(name)}
    data.refuse_leak(training, held_out)
    return training, held_out.get("validation", [])


def _encode(tokenizer: Any, model: Any, rows: Sequence[Row], wanted: SftSettings) -> list[Encoded]:
    fit = [row for row in rows if not data.speaks_markers(tokenizer, row)]
    encoded = data.encode(tokenizer, data.stop_ids(tokenizer, model), fit, wanted.instruction)
    return [row for row in encoded if len(row.ids) <= wanted.max_length]


def _dataset(rows: Sequence[Encoded]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [row.ids for row in rows],
            "labels": [row.labels for row in rows],
            "length": [len(row.ids) for row in rows],
        }
    )


def _trainer(
    job: Job,
    wanted: SftSettings,
    adapter: Any,
    tokenizer: Any,
    training: Sequence[Encoded],
    validation: Sequence[Encoded],
    speaker: Speaker,
) -> SFTTrainer:
    steps = math.ceil(len(training) / wanted.batch_size) * wanted.epochs
    epochs = "epoch" if validation else "no"
    config = SFTConfig(
        output_dir=str(job.checkpoints),
        num_train_epochs=wanted.epochs,
        per_device_train_batch_size=wanted.batch_size,
        per_device_eval_batch_size=4 * wanted.batch_size,
        learning_rate=wanted.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(wanted.warmup * steps),
        weight_decay=wanted.weight_decay,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        bf16=bases.dtype() is torch.bfloat16,
        use_cpu=bases.device() == "cpu",
        gradient_checkpointing=bases.device() != "cpu",  # TRL's own field; it is on unless told otherwise
        eval_strategy=epochs,
        save_strategy=epochs,
        save_total_limit=2,
        load_best_model_at_end=bool(validation),
        metric_for_best_model="eval_loss",
        prediction_loss_only=True,
        logging_steps=5,
        seed=wanted.seed,
        data_seed=wanted.seed,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=False,
        remove_unused_columns=True,
    )
    trainer = SFTTrainer(
        model=adapter,
        args=config,
        processing_class=tokenizer,
        train_dataset=_dataset(training),
        eval_dataset=_dataset(validation) if validation else None,
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
        callbacks=[speaker, *([EarlyStoppingCallback(wanted.patience)] if validation else [])],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint of an earlier attempt."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None


def _save(adapter: Any, tokenizer: Any, out: Path, base: str) -> None:
    adapter.peft_config["default"].base_model_name_or_path = f"sha256:{base}"  # not a path of the machine that trained
    adapter.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    tokenizer.save_pretrained(out)
