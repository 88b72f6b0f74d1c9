"""Our trainings in the words of OpenAI's fine-tuning API, both ways. Pure.

Method supervised is lora-sft, dpo is lora-dpo. `auto` leaves a value to the strategy; what a strategy has no word for
is refused and never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .contract import JobState
from .errors import InvalidInput
from .files import unix
from .jobs import Job
from .models import NAME

STRATEGY: Mapping[str, str] = {"supervised": "lora-sft", "dpo": "lora-dpo"}
NAMES: Mapping[str, str] = {"n_epochs": "epochs", "batch_size": "batch_size", "beta": "beta"}
STATUS: Mapping[JobState, str] = {
    JobState.PENDING: "queued",
    JobState.QUEUED: "queued",
    JobState.RUNNING: "running",
    JobState.COMPLETED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
FILE, VALIDATION, METADATA, MODEL, METHOD = "training_file", "validation_file", "metadata", "model", "method"


def hyperparameters(method: str, given: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """In our words; `auto` is left out."""
    if method not in STRATEGY:
        raise InvalidInput(f"The method is {' or '.join(STRATEGY)}, not {method!r}.")
    chosen = {name: value for name, value in given.items() if value is not None and value != "auto"}
    if unknown := sorted(set(chosen) - set(NAMES)):
        raise InvalidInput(f"{', '.join(unknown)} cannot be set here; {', '.join(NAMES)} can.")
    return {NAMES[name]: value for name, value in chosen.items()} | ({} if seed is None else {"seed": seed % 2**31})


def model_name(suffix: str | None, default: str) -> str:
    """A suffix as the name of a model of ours."""
    if not suffix:
        return default
    name = re.sub(r"[^a-z0-9]+", "-", suffix.lower()).strip("-")[:32].rstrip("-")
    if not NAME.fullmatch(name):
        raise InvalidInput(f"A suffix begins with a letter and has 2 letters or more, unlike {suffix!r}.")
    return name


def shown(job: Job) -> dict[str, Any]:
    """A fine_tuning.job."""
    labels = job.labels
    error = None
    if job.state is JobState.FAILED:
        error = {"code": job.error_code or "failed", "message": job.error or "", "param": None}
    ended = unix(job.updated_at or job.created_at) if job.state.final else None
    eta_s = job.progress.get("eta_s")
    values = {ours: job.hyperparameters.get(name) for ours, name in NAMES.items() if name in job.hyperparameters}
    told = {name: "auto" if value in (0, None) else value for name, value in values.items()}
    method = str(labels.get(METHOD) or "supervised")
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": unix(job.created_at),
        "error": error,
        "fine_tuned_model": job.model_id if job.state is JobState.COMPLETED else None,
        "finished_at": ended,
        "hyperparameters": {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
        | {name: value for name, value in told.items() if name != "beta"},
        "model": str(labels.get(MODEL) or job.strategy),
        "organization_id": "",
        "result_files": [],
        "seed": int(job.hyperparameters.get("seed") or 0),
        "status": STATUS[job.state],
        "trained_tokens": None,
        "training_file": str(labels.get(FILE) or ""),
        "validation_file": None,
        "estimated_finish": unix(job.updated_at) + round(eta_s) if eta_s and job.updated_at and not ended else None,
        "integrations": [],
        "metadata": labels.get(METADATA) or None,
        "method": {"type": method, method: {"hyperparameters": told}},
    }


def events(
    job: Job, runs: Iterable[Mapping[str, Any]], figures: Mapping[int, Iterable[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """What happened, the newest first. `figures`: those of the training, by attempt."""
    told: list[dict[str, Any]] = [_event(unix(job.created_at), f"Created fine-tuning job: {job.id}")]
    for run in runs:
        number = int(run["attempt"])
        if run.get("started_at"):
            told.append(_event(unix(run["started_at"]), f"Attempt {number} started."))
        told += [_metrics(point) for point in figures.get(number, ())]
        if run.get("ended_at") and run.get("error") and number != job.attempt:
            told.append(_event(unix(run["ended_at"]), str(run["error"]), "warn"))
    if job.state.final:
        words = {
            JobState.COMPLETED: "The job has successfully completed.",
            JobState.CANCELLED: "The job was cancelled.",
        }
        text, level = words.get(job.state, job.error or "The job failed."), "info"
        told.append(_event(unix(job.updated_at or job.created_at), text, level if job.state in words else "error"))
    numbered = [{**event, "id": f"ftevent-{job.id}-{n:05}"} for n, event in enumerate(told)]
    return numbered[::-1]


def _event(at: int, message: str, level: str = "info") -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "created_at": at,
        "level": level,
        "message": message,
        "type": "message",
        "data": None,
    }


def _metrics(point: Mapping[str, Any]) -> dict[str, Any]:
    data = {"step": point.get("step"), "total_steps": point.get("steps"), "train_loss": point.get("loss")}
    loss = f": training loss={point['loss']:.4f}" if isinstance(point.get("loss"), float) else ""
    message = f"Step {point.get('step')}/{point.get('steps')}{loss}"
    return _event(int(point["at_ms"]) // 1000, message) | {"type": "metrics", "data": data}


def checkpoint(job: Job, step: int, at: int) -> dict[str, Any]:
    """A fine_tuning.job.checkpoint: what a training would go on from; it is not served."""
    return {
        "id": f"ftckpt-{job.id}-{step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": at,
        "fine_tuned_model_checkpoint": f"{job.model_id or job.model_name}:ckpt-step-{step}",
        "fine_tuning_job_id": job.id,
        "metrics": {"step": step},
        "step_number": step,
    }
