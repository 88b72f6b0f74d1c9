"""What the console's tests put on the stage: jobs, models and drops as the domain writes them."""

from __future__ import annotations

import json
from typing import Any

from millrace.catalogue import Catalogue, Entry
from millrace.clock import stamp
from millrace.contract import JobState, ModelState
from millrace.jobs import Job
from moto.sagemakerruntime.models import sagemakerruntime_backends

from tests.loopback import Served

PAIRS = "prompt,completion\n" + "".join(f"Moreover text number {n},Text number {n}\n" for n in range(12))
REFUSED = {
    "code": "gate.edit_rate",
    "text": "edit_rate (answers that make the asked-for edit) is 0.31; asked for: >= 0.5",
}
FIGURES = {
    "examples": 48.0,
    "content_kept_rate": 0.938,
    "edit_rate": 0.708,
    "base_edit_rate": 0.042,
    "edit_gain_low": 0.5,
    "loss_ratio": 0.41,
    "size_bytes": 2_870_000.0,
    "f16_size_bytes": 9_100_000.0,
    "tokens_per_s": 412.5,
    "parity_passed": 1.0,
}


def job(api: Served, id: str, name: str = "humanizer", **values: Any) -> Job:
    """A queued job, as `begin` leaves it."""
    given = {"strategy": "lora-sft", "started_by": "person", "hyperparameters": {"epochs": 3}} | values
    made = Job(
        id=id,
        state=JobState.QUEUED,
        attempt=1,
        snapshot_id=f"sn{id}",
        model_name=name,
        created_at=stamp(),
        **given,
    )
    assert api.jobs.create(api.tenant, made)
    return made


def running(api: Served, id: str, **progress: Any) -> Job:
    made = job(api, id)
    api.jobs.move(api.tenant, id, JobState.RUNNING, 1)
    step(api, id, **progress)
    return made


def step(api: Served, id: str, **progress: Any) -> None:
    told = {"stage": "train", "step": 34, "steps": 120, "epoch": 0.85, "loss": 0.412, "eta_s": 41.0} | progress
    api.jobs.note(api.tenant, id, 1, {"progress": told})


def refused(api: Served, id: str, reason: dict[str, str] = REFUSED) -> None:
    """A job whose model the gate refused."""
    made = job(api, id)
    api.registry.plan_version(api.tenant, made, {})
    gate = {"passed": False, "reasons": [reason], "metrics": {"edit_rate": 0.31, "examples": 48.0}}
    api.jobs.move(api.tenant, id, JobState.RUNNING, 1)
    api.jobs.note(api.tenant, id, 1, {"gates": {"adapter": gate}})
    api.jobs.move(api.tenant, id, JobState.FAILED, 1, {"error": f"The gate refused the model: {reason['text']}."})


def active_model(api: Served, job_id: str, **more: Any) -> str:
    """A version that serves, with everything that register and deploy leave."""
    made = job(api, job_id)
    model = api.registry.plan_version(api.tenant, made, {"base": "millrace-tiny"})
    passed = {"passed": True, "reasons": [], "metrics": FIGURES}
    api.jobs.move(api.tenant, job_id, JobState.RUNNING, 1)
    api.jobs.note(api.tenant, job_id, 1, {"gates": {"adapter": passed, "gguf": passed}})
    api.registry.move(api.tenant, model.id, ModelState.TRAINING)
    files = [
        {"stage": "gguf", "uri": "s3://d/m.gguf", "path": "model-Q5_K_M.gguf", "sha256": "ab" * 32, "size_bytes": 1}
    ]
    values = {"metrics": FIGURES, "artifacts": files, "endpoint": "millrace-test-humanizer-1"} | more
    ready = api.registry.move(api.tenant, model.id, ModelState.READY, values)
    api.registry.activate(api.tenant, ready)
    api.jobs.move(api.tenant, job_id, JobState.COMPLETED, 1)
    return str(model.id)


def answering(api: Served, model_id: str, text: str) -> None:
    """Put a model into the catalogue whose endpoint answers with `text`, once."""
    entry = Entry(id=model_id, provider="own", endpoint="endpoint")
    Catalogue(api.corpus.table).publish(api.tenant, entry)
    usage = {"prompt_tokens": 12, "completion_tokens": 9}
    body = json.dumps({"choices": [{"message": {"content": text}}], "usage": usage})
    backend = sagemakerruntime_backends["123456789012"]["us-east-1"]
    backend.results_queue.append((body, "application/json", "all", ""))
