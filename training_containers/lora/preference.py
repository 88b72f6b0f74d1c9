"""Preferences with LoRA: DPO on (prompt, chosen, rejected), KTO on (prompt, completion, label). TRL's losses.

The base with its adapter off is the reference. DPO carries the likelihood of the chosen answer beside it (RPO, Pang et
al. 2024): a base that has never written such an answer learns it, and the chosen one does not grow unlikely with the
rejected. KTO: Ethayarajh et al. 2024. What a row becomes is said in common/rows.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from millrace.errors import InvalidInput

from training_containers.common.job import Job
from training_containers.common.rows import as_preferences, as_verdicts

from . import course as courses
from . import packing
from .course import Course
from .data import Encoded
from .settings import DpoSettings, KtoSettings

# isort: split
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer


def dpo(job: Job) -> None:
    """Channels `train`, `validation` and `base` in, a PEFT adapter out."""
    wanted = DpoSettings.of(job.hyperparameters)
    course = courses.prepared(job, "lora-dpo", wanted, as_preferences, 0.25 if wanted.sft_weight else 0.05)
    losses = {"sigmoid": 1.0, "sft": wanted.sft_weight}
    config = DPOConfig(
        **course.arguments(),
        beta=wanted.beta,
        max_length=None,
        loss_type=[name for name, weight in losses.items() if weight],
        loss_weights=[weight for weight in losses.values() if weight],
    )
    _run(course, Dpo(**_given(course, config, _pairs)))


def kto(job: Job) -> None:
    """Channels `train`, `validation` and `base` in, a PEFT adapter out."""
    wanted = KtoSettings.of(job.hyperparameters)
    course = courses.prepared(job, "lora-kto", wanted, as_verdicts, 0.25)
    good = sum(row.label for row in course.training)
    bad = len(course.training) - good
    if not good or not bad:
        raise InvalidInput(f"KTO compares wanted answers with unwanted ones; there are {good} and {bad}.")
    Random(wanted.seed).shuffle(
        course.training
    )  # TRL takes them in order, since each batch carries its own answers turned
    config = KTOConfig(
        **course.arguments(),
        beta=wanted.beta,
        max_length=None,
        # The rarer kind weighs more, so that both weigh alike (the paper's section 4.2).
        desirable_weight=max(1.0, bad / good),
        undesirable_weight=max(1.0, good / bad),
    )
    _run(course, Kto(**_given(course, config, _verdicts)))


def _given(course: Course[Any], config: Any, rows: Any) -> dict[str, Any]:
    return {
        "model": course.model,
        "args": config,
        "processing_class": course.tokenizer,
        "train_dataset": rows(course.training),
        "eval_dataset": rows(course.held_out) if course.held_out else None,
        "callbacks": course.callbacks(),
    }


def _run(course: Course[Any], trainer: Any) -> None:
    """`validation_loss` is that of the wanted answers, as in plain fine-tuning; preference_loss is TRL's own."""
    wanted = [row for row in course.held_out if row.label]

    def held_out() -> dict[str, float]:
        told = trainer.evaluate()
        own = {
            "preference_loss": told["eval_loss"],
            "preference_accuracy": told.get("eval_rewards/accuracies", math.nan),
        }
        size = course.wanted.batch_size
        loss = packing.target_loss(course.model, wanted, size) if wanted else math.nan
        return own | {"validation_loss": loss}

    courses.run(course, courses.quiet(trainer), held_out)


def _pairs(rows: Sequence[Encoded]) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt_ids": [row.prompt for row in rows],
            "chosen_ids": [row.target for row in rows],
            "rejected_ids": [row.rejected for row in rows],
        }
    )


def _verdicts(rows: Sequence[Encoded]) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt_ids": [row.prompt for row in rows],
            "completion_ids": [row.target for row in rows],
            "label": [row.label for row in rows],
        }
    )


class Dpo(DPOTrainer):  # type: ignore[misc]
    """TRL's, on rows that are encoded and checked already."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class Kto(KTOTrainer):  # type: ignore[misc]
    """TRL's, on rows that are encoded and checked already, each with another's answer for the divergence."""

    def _prepare_dataset(self, dataset: Dataset, _: Any, args: Any, *__: Any) -> Dataset:
        answers = dataset["completion_ids"]
        size = args.per_device_train_batch_size
        turned = [
            answer
            for at in range(0, len(answers), size)
            for answer in (answers[min(at + size, len(answers)) - 1], *answers[at : min(at + size, len(answers)) - 1])
        ]
        return dataset.add_column("KL_completion_ids", turned)
