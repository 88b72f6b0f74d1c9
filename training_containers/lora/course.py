"""What every way to train an adapter has in common: all that happens before the trainer and after it.

It cannot fail in silence: every linear layer is matched or the job ends; the template, its opening and its stop token
are checked; a held-out question among the training rows ends the job, and so do a machine that is too small, a few rows
that cannot be learned by heart, and a loss that is not a number. model/report.json tells what was found and advised.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from millrace.errors import InvalidInput, TrainingFailed

from training_containers.common import manifest, progress
from training_containers.common import rows as channels
from training_containers.common.job import Job
from training_containers.common.progress import Reporter
from training_containers.common.rows import Row

from . import advice, base, data, room, targets
from .data import Encoded
from .probe import probe
from .settings import LoraSettings

# isort: split
import torch
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback, set_seed

Wanted = TypeVar("Wanted", bound=LoraSettings)
SAVED_EVERY = 200
"""Steps between two looks at the held-out rows, and two checkpoints, where an epoch has more."""


@dataclass
class Course(Generic[Wanted]):
    """A job that was found sound: its rows, its model with a fresh adapter, its settings as they will be."""

    job: Job
    strategy: str
    wanted: Wanted
    base: Path
    tokenizer: Any
    model: Any
    training: list[Encoded]
    held_out: list[Encoded]
    place: str
    report: dict[str, Any]
    began: float
    speaker: Speaker = field(default_factory=lambda: Speaker())

    @property
    def checkpoint(self) -> str | None:
        return last_checkpoint(self.job.checkpoints)

    def arguments(self) -> dict[str, Any]:
        """Of every trainer: transformers' own names."""
        wanted = self.wanted
        epoch = math.ceil(len(self.training) / (wanted.batch_size * wanted.accumulation))
        every = min(epoch, SAVED_EVERY)
        return {
            "output_dir": str(self.job.checkpoints),
            "num_train_epochs": wanted.epochs,
            "per_device_train_batch_size": wanted.batch_size,
            "per_device_eval_batch_size": 4 * wanted.batch_size,
            "gradient_accumulation_steps": wanted.accumulation,
            "activation_checkpointing": wanted.gradient_checkpointing,
            "learning_rate": wanted.learning_rate,
            "lr_scheduler_type": "cosine",
            "warmup_steps": round(wanted.warmup * epoch * wanted.epochs),
            "weight_decay": wanted.weight_decay,
            "optim": "adamw_torch_fused",
            "bf16": base.dtype(self.place) is torch.bfloat16,
            "use_cpu": self.place == "cpu",
            "eval_strategy": "steps" if self.held_out else "no",
            "eval_steps": every,
            "save_strategy": "steps",
            "save_steps": every,
            "save_total_limit": 2,
            "load_best_model_at_end": bool(self.held_out),
            "metric_for_best_model": "eval_loss",
            "prediction_loss_only": True,
            "logging_steps": 5,
            "seed": wanted.seed,
            "data_seed": wanted.seed,
            "disable_tqdm": True,
            "report_to": "none",
            "dataloader_pin_memory": False,
        }

    def callbacks(self) -> list[Any]:
        if not self.held_out:
            return [self.speaker]
        epoch = math.ceil(len(self.training) / (self.wanted.batch_size * self.wanted.accumulation))
        looks = math.ceil(epoch / min(epoch, SAVED_EVERY))
        return [self.speaker, EarlyStoppingCallback(self.wanted.patience * looks)]


def prepared(
    job: Job,
    strategy: str,
    wanted: Wanted,
    taken: Callable[[Sequence[Row]], list[Row]] = list,
    share_of_rate: float = 1.0,
) -> Course[Wanted]:
    """Read, check, advise, load. `taken`: what a strategy makes of the rows of a channel."""
    began = time.monotonic()
    Reporter(1, status="loading").step(0)
    set_seed(wanted.seed)
    path, place = base.folder(job), base.device(wanted.device)
    if wanted.quantization == "4bit":
        base.four_bits(place)
    training, held_out, seeded = _rows(job, wanted, taken)
    tokenizer, (config, generation) = base.tokenizer(path), base.described(path)
    stops = data.stop_ids(tokenizer, generation)

    def fitted(rows: Sequence[Row], limit: int) -> tuple[list[Encoded], dict[str, int]]:
        return data.fitted(tokenizer, stops, rows, wanted.instruction, limit, wanted.overlong)

    encoded, left = fitted(training, wanted.max_length)
    _enough(encoded, wanted)
    advised = advice.advise(len(encoded), config.hidden_size, share_of_rate)
    wanted = advice.filled(wanted, advised)
    size = room.Base.of(path, config)
    lengths = [row.length for row in encoded]
    limit, bytes_each, free = wanted.max_length, base.dtype(place).itemsize, room.free_memory(place)
    wanted, changed = room.settled(size, wanted, lengths, bytes_each, free)
    if wanted.max_length < limit:
        encoded, left = fitted(training, wanted.max_length)
        _enough(encoded, wanted)
    checked, left_of_held_out = fitted(held_out, wanted.max_length)
    room.refuse_full_disk(size, path, wanted, job.model)
    model = targets.adapted(base.model(path, place, wanted.quantization), wanted)
    report = {
        "advice": advised.sentences(len(encoded), config.hidden_size),
        "changed": changed,
        "device": place,
        "arithmetic": str(base.dtype(place)).removeprefix("torch."),
        "rows": {"training": left, "held_out": left_of_held_out, "held_out_by_seed": seeded},
        "longest_row": max(lengths),
        "memory": {"needed": room.memory(size, wanted, lengths, bytes_each), "free": free},
        "adapted": sorted(model.peft_config["default"].target_modules),
        "opening": data.openings(tokenizer, encoded),
    }
    course = Course(job, strategy, wanted, path, tokenizer, model, encoded, checked, place, report, began)
    if wanted.probe and course.checkpoint is None:
        rate = advice.advise(len(encoded), config.hidden_size).learning_rate
        report["probe"] = asdict(probe(model, encoded, rate))
    return course


def run(course: Course[Any], trainer: Any, held_out: Callable[[], dict[str, float]]) -> None:
    """Train on from the last checkpoint, keep the best by the held-out rows, write the adapter and its manifest.

    `held_out`: figures of the held-out rows by the model as it is, `validation_loss` among them; asked twice.
    """
    before = held_out() if course.held_out else {}
    course.speaker.best = None
    ready = time.monotonic()
    trainer.train(resume_from_checkpoint=course.checkpoint)
    seconds = time.monotonic() - ready
    figures = {
        "train_rows": float(len(course.training)),
        "validation_rows": float(len(course.held_out)),
        "rows_left_out": float(
            sum(course.report["rows"][name][why] for name in ("training", "held_out") for why in _OUT)
        ),
        "train_loss": course.speaker.loss if course.speaker.loss is not None else math.nan,
        **{f"base_{name}": value for name, value in before.items()},
        **(held_out() if course.held_out else {}),
        "steps": float(trainer.state.global_step),
        "epochs": float(trainer.state.epoch or 0.0),
        "trainable_parameters": float(sum(p.numel() for p in course.model.parameters() if p.requires_grad)),
        "tokens_per_s": sum(len(row.ids) for row in course.training) * float(trainer.state.epoch or 0.0) / seconds,
        "setup_s": ready - course.began,
        "train_s": seconds,
    }
    figures = {name: value for name, value in figures.items() if math.isfinite(value)}
    if "train_loss" not in figures:
        raise TrainingFailed("The training loss became infinite or not a number; try a smaller learning_rate.")
    _write(course, figures)


def quiet(trainer: Any) -> Any:
    """Without the lines that transformers prints: stdout is the contract's."""
    trainer.remove_callback(PrinterCallback)
    return trainer


_OUT = ("too_long", "markers")


def _write(course: Course[Any], figures: dict[str, float]) -> None:
    identity, out = base.identity(course.base), course.job.model
    course.model.peft_config["default"].base_model_name_or_path = f"sha256:{identity}"  # no path of this machine
    course.model.save_pretrained(out, save_embedding_layers=False, selected_adapters=["default"])
    (out / "README.md").unlink(missing_ok=True)
    course.tokenizer.save_pretrained(out)
    (out / "report.json").write_text(json.dumps(course.report, indent=1))
    manifest.write(
        out,
        format="adapter",
        strategy=course.strategy,
        metrics=figures,
        hyperparameters=course.wanted.model_dump(),
        source=Path(__file__).parent,
        base=identity,
    )
    progress.metrics(figures)


def _rows(
    job: Job, wanted: LoraSettings, taken: Callable[[Sequence[Row]], list[Row]]
) -> tuple[list[Row], list[Row], bool]:
    """(training, held-out rows, whether they were drawn here)."""
    if not job.has("train"):
        raise InvalidInput("The job has no channel `train`.")
    training = channels.read(job.channel("train"), "train")
    others = {name: channels.read(job.channel(name), name) for name in ("validation", "test") if job.has(name)}
    data.refuse_leak(training, others)
    if seeded := not job.has("validation"):
        spare = max(0, len(training) - wanted.minimum_rows) / max(1, len(training))
        share = min(wanted.validation_share, spare)
        training, others["validation"] = channels.divided(training, share, wanted.seed)
    return taken(training), taken(others["validation"]), seeded


def _enough(encoded: Sequence[Encoded], wanted: LoraSettings) -> None:
    if len(encoded) < wanted.minimum_rows:
        raise InvalidInput(
            f"{len(encoded)} training rows are too few to learn from: the minimum is {wanted.minimum_rows} "
            f"rows of at most {wanted.max_length} tokens."
        )


def last_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint of an earlier attempt: its state is written last."""
    found = [path for path in folder.glob("checkpoint-*") if _whole(path / "trainer_state.json")]
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None


def _whole(state: Path) -> bool:
    try:
        return isinstance(json.loads(state.read_text()), dict)
    except (OSError, ValueError):
        return False


class Speaker(TrainerCallback):  # type: ignore[misc]
    """Turns the trainer's events into progress lines."""

    def __init__(self) -> None:
        self.loss: float | None = None
        self.best: float | None = None
        self._reporter = Reporter(0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._reporter = Reporter(state.max_steps)
        self._reporter.step(state.global_step, epoch=round(float(state.epoch or 0.0), 3))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        logs = logs or {}
        found = logs.get("loss", self.loss if self.loss is not None else logs.get("train_loss"))
        self.loss = None if found is None else float(found)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        loss = (metrics or {}).get("eval_loss")
        if loss is not None:
            self.best = loss if self.best is None else min(self.best, loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        epoch = round(float(state.epoch or 0.0), 3)
        self._reporter.step(state.global_step, epoch=epoch, loss=self.loss, best=self.best)
