"""OpenAI's own client: files and fine-tuning jobs over our trainings, unchanged."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from millrace.access import Access, fresh_key
from millrace.container import Progress
from millrace.contract import JobState, Tier
from millrace.errors import InvalidInput
from millrace.fine_tuning import hyperparameters, model_name
from millrace.joblog import JobLog, Line
from millrace.policies import TrainingPolicy, set_training_policy
from millrace.tenants import Tenant

from functions.gateway import multipart
from tests.loopback import DEMO, Served, served

OTHER = Tenant("other", Tier.ENTERPRISE)


@pytest.fixture
def api() -> Iterator[Served]:
    with served() as up:
        yield up


def client_of(api: Served, tenant: Tenant = DEMO) -> openai.OpenAI:
    key = fresh_key()
    Access(api.corpus.table).grant(key, tenant)
    return openai.OpenAI(api_key=key, base_url=f"{api.url}/v1", max_retries=0)


def chats(count: int, word: str = "lamp") -> bytes:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Moreover, the {word} number {n} is here."},
                {"role": "assistant", "content": f"The {word} number {n} is here."},
            ]
        }
        for n in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def sent(client: openai.OpenAI, body: bytes, name: str = "chats.jsonl") -> Any:
    return client.files.create(file=(name, io.BytesIO(body)), purpose="fine-tune")


def test_a_file_is_kept_collected_listed_read_and_forgotten(api: Served) -> None:
    client = client_of(api)

    first, second = sent(client, chats(3)), sent(client, chats(2, "kettle"))

    assert (first.status, first.filename, first.bytes) == ("processed", "chats.jsonl", len(chats(3)))
    assert [file.id for file in client.files.list()] == [second.id, first.id]
    assert [file.id for file in client.files.list(limit=1)] == [second.id, first.id], "the client pages by itself"
    assert client.files.content(first.id).content == chats(3)
    assert client.files.delete(first.id).deleted and [file.id for file in client.files.list()] == [second.id]
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(first.id)


def test_what_a_file_holds_becomes_data_once(api: Served) -> None:
    client = client_of(api)
    sent(client, chats(3))
    sent(client, chats(3))
    assert api.corpus.counts(DEMO).usable == 3


def test_a_file_without_a_usable_row_says_why(api: Served) -> None:
    client = client_of(api)
    file = sent(client, b'{"nothing": 1}\nnot json\n')
    assert file.status == "error" and "line 1" in file.status_details
    with pytest.raises(openai.UnprocessableEntityError, match="no row that can be trained on"):
        client.fine_tuning.jobs.create(model="auto", training_file=file.id)


def test_a_fine_tuning_lives_from_its_file_to_its_model(api: Served) -> None:
    client = client_of(api)
    sent(client, chats(60, "unused"))
    file = sent(client, chats(80))

    job = client.fine_tuning.jobs.create(
        model="millrace-tiny",
        training_file=file.id,
        suffix="My Writer",
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": "auto"}}},
        metadata={"team": "notes"},
    )

    assert (job.status, job.training_file, job.model, job.seed) == ("queued", file.id, "millrace-tiny", 7)
    assert job.hyperparameters.n_epochs == 3 and job.metadata == {"team": "notes"} and job.error is None
    ours = api.jobs.get(DEMO, job.id)
    assert (ours.model_name, ours.strategy) == ("my-writer", "lora-sft")
    snapshot = api.corpus.load_snapshot(DEMO, ours.snapshot_id)
    assert sum(snapshot.rows.values()) == 80, "this file's rows and no others"

    _works(api, job.id)
    told = client.fine_tuning.jobs.retrieve(job.id)
    assert told.status == "succeeded" and told.fine_tuned_model == "my-writer@1" and told.finished_at
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=2))
    assert events[0].message == "The job has successfully completed." and events[-1].message.startswith("Created")
    losses = [event.data["train_loss"] for event in events if event.type == "metrics"]  # type: ignore[index]
    assert losses == [1.0, 2.0]
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert (checkpoint.step_number, checkpoint.fine_tuning_job_id) == (40, job.id)


def _works(api: Served, id: str) -> None:
    """What the machine and its containers would do."""
    jobs = api.jobs
    api.registry.plan_version(DEMO, jobs.get(DEMO, id), {})
    jobs.move(DEMO, id, JobState.RUNNING, 1)
    figures = [(Line(n, str(n), ""), Progress(step=n, steps=2, loss=3.0 - n)) for n in (1, 2)]
    JobLog(jobs.table).add_figures(DEMO, id, 1, "train", figures)
    api.corpus.store.put(f"tenants/demo/jobs/{id}/checkpoints/train/checkpoint-40/adapter.safetensors", b"x")
    jobs.move(DEMO, id, JobState.COMPLETED, 1)


def test_jobs_are_listed_page_by_page_and_cancelled(api: Served) -> None:
    set_training_policy(api.corpus.table, DEMO, TrainingPolicy(threshold=0))  # or the file would begin one too
    client = client_of(api)
    file = sent(client, chats(80))
    made = [client.fine_tuning.jobs.create(model="auto", training_file=file.id).id for _ in range(3)]

    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == made[::-1]
    assert client.fine_tuning.jobs.cancel(made[0]).status == "cancelled"
    assert client.fine_tuning.jobs.retrieve(made[0]).finished_at
    assert client.fine_tuning.jobs.cancel(made[0]).status == "cancelled", "a repeat changes nothing"


def test_a_failure_is_told_with_its_code(api: Served) -> None:
    client = client_of(api)
    job = client.fine_tuning.jobs.create(model="auto", training_file=sent(client, chats(80)).id)
    api.jobs.move(DEMO, job.id, JobState.FAILED, 1, {"error": "16 rows did not fit.", "error_code": "OutOfMemory"})

    told = client.fine_tuning.jobs.retrieve(job.id)

    assert (
        told.status == "failed"
        and told.error
        and (told.error.code, told.error.message)
        == (
            "OutOfMemory",
            "16 rows did not fit.",
        )
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "gpt-4o"}, "'gpt-4o' cannot be fine-tuned here; millrace-tiny can"),
        ({"validation_file": "file-x"}, "leave validation_file out"),
        ({"method": {"type": "reinforcement"}}, "The method is supervised or dpo"),
        ({"hyperparameters": {"learning_rate_multiplier": 2.0}}, "learning_rate_multiplier cannot be set here"),
        ({"hyperparameters": {"n_epochs": 100_000}}, "epochs lies between"),
        ({"suffix": "7"}, "suffix"),
        ({"metadata": {"notes": "x" * 513}}, "metadata.notes: String should have at most 512"),
        ({"metadata": {"n" * 65: "x"}}, "at most 64"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"extra_body": {"n_epochs": 3}}, "n_epochs: Extra inputs are not permitted"),
        ({"hyperparameters": {"epochs": 3}}, "hyperparameters.epochs: Extra inputs are not permitted"),
        ({"method": {"type": "supervised", "dpo": {}}}, "The method is supervised, and what is set is of dpo"),
        ({"method": {"type": "dpo", "dpo": {"beta": 1}}}, "method.dpo.beta: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_done_is_refused_and_never_ignored(api: Served, change: dict[str, Any], says: str) -> None:
    set_training_policy(api.corpus.table, DEMO, TrainingPolicy(threshold=0))  # or the file would begin a training
    client = client_of(api)
    file = sent(client, chats(80))
    with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError), match=says):
        client.fine_tuning.jobs.create(**{"model": "auto", "training_file": file.id, **change})
    assert not list(client.fine_tuning.jobs.list())


def test_what_says_nothing_is_taken(api: Served) -> None:
    """J13: nulls, an empty list, and metadata as long as OpenAI takes them."""
    client = client_of(api)
    file = sent(client, chats(80))
    metadata = {f"{n:02}" + "k" * 62: "v" * 512 for n in range(16)}

    job = client.fine_tuning.jobs.create(
        model="auto",
        training_file=file.id,
        validation_file=None,
        seed=None,
        suffix=None,
        integrations=[],
        metadata=metadata,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}},
    )

    assert job.metadata == metadata and api.jobs.get(DEMO, job.id).hyperparameters["beta"] == 0.2


def test_files_past_the_threshold_begin_a_training_by_policy(api: Served) -> None:
    """C10: rows of a file are new data as those of a drop are."""
    from functions import parts

    client, collection = client_of(api), parts.collection(api.settings)
    collection.set(DEMO, replace(collection.policy(DEMO), threshold=60))

    sent(client, chats(50))
    assert not api.jobs.page(DEMO, 10, None)[0]
    sent(client, chats(20, "kettle"))

    (job,) = api.jobs.page(DEMO, 10, None)[0]
    assert job.started_by == "policy"


def test_another_tenants_files_and_jobs_are_missing(api: Served) -> None:
    client, stranger = client_of(api), client_of(api, OTHER)
    file = sent(client, chats(80))
    job = client.fine_tuning.jobs.create(model="auto", training_file=file.id)

    deeds = [
        lambda: stranger.files.retrieve(file.id),
        lambda: stranger.files.content(file.id),
        lambda: stranger.files.delete(file.id),
        lambda: stranger.fine_tuning.jobs.create(model="auto", training_file=file.id),
        lambda: stranger.fine_tuning.jobs.retrieve(job.id),
        lambda: stranger.fine_tuning.jobs.cancel(job.id),
        lambda: list(stranger.fine_tuning.jobs.list_events(job.id)),
        lambda: list(stranger.fine_tuning.jobs.list(after=job.id)),
    ]
    for deed in deeds:
        with pytest.raises(openai.NotFoundError):
            deed()


def test_values_are_translated_or_refused() -> None:
    assert hyperparameters("supervised", {"n_epochs": 2, "batch_size": "auto", "beta": None}, 5) == {
        "epochs": 2,
        "seed": 5,
    }
    assert hyperparameters("dpo", {"beta": 0.1}, None) == {"beta": 0.1}
    assert model_name("Ünique  Voice!", "x") == "nique-voice" and model_name(None, "humanizer") == "humanizer"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" * 50),
    ],
)
def test_a_body_that_is_no_form_is_said(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        multipart.read(content_type, body)


def test_bytes_of_a_form_come_through_unchanged() -> None:
    raw = bytes(range(256)) + b"\r\n--almost\r\n"
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + raw + b"\r\n--x--\r\n"
    )
    assert multipart.read("multipart/form-data; boundary=x", body) == {"file": ("a.jsonl", raw)}
