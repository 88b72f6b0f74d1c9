"""Supervised fine-tuning with LoRA: channels `train`, `validation` and `base` in, a PEFT adapter out.

Measured on millrace-tiny with 651 pairs: see tiny/README.md. Rows are packed end to end without padding, see packing.
"""

from __future__ import annotations

from typing import Any

from training_containers.common.job import Job

from . import course as courses
from . import packing
from .course import Course
from .fused import fuse
from .settings import SftSettings

# isort: split
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq
from trl import SFTConfig, SFTTrainer

STRATEGY = "lora-sft"


def train(job: Job) -> None:
    """Read, check, train, keep the best of validation, write the adapter and its manifest."""
    course = courses.prepared(
        job, STRATEGY, SftSettings.of(job.hyperparameters), lambda rows: [r for r in rows if r.label]
    )
    packs = course.wanted.packing and packing.enable(course.model)
    course.report |= {"packed": packs, "fused_layers": fuse(course.model) if packs else 0}
    trainer = courses.quiet(_packed(course) if packs else _padded(course))
    courses.run(course, trainer, lambda: {"validation_loss": trainer.evaluate()["eval_loss"]})


def _packed(course: Course[SftSettings]) -> SFTTrainer:
    trainer = packing.PackedTrainer(
        model=course.model,
        # The packed loss sets its own arithmetic; transformers' would copy all logits to float32.
        args=SFTConfig(**course.arguments() | {"bf16": False}, **_OWN, remove_unused_columns=False),
        processing_class=course.tokenizer,
        train_dataset=_dataset(course.training),
        eval_dataset=_dataset(course.held_out) if course.held_out else None,
        data_collator=packing.collate,
        callbacks=course.callbacks(),
    )
    trainer.held_out = course.held_out
    return trainer


def _padded(course: Course[SftSettings]) -> SFTTrainer:
    """For attention that cannot be packed: rows of like lengths together."""
    return SFTTrainer(
        model=course.model,
        args=SFTConfig(
            **course.arguments(), **_OWN, train_sampling_strategy="group_by_length", length_column_name="length"
        ),
        processing_class=course.tokenizer,
        train_dataset=_dataset(course.training),
        eval_dataset=_dataset(course.held_out) if course.held_out else None,
        data_collator=DataCollatorForSeq2Seq(course.tokenizer, label_pad_token_id=-100),
        callbacks=course.callbacks(),
    )


_OWN: dict[str, Any] = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}


def _dataset(rows: list[Any]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [row.ids for row in rows],
            "labels": [row.labels for row in rows],
            "length": [len(row.ids) for row in rows],
        }
    )
