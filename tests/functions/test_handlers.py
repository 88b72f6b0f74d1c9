"""ingest, progress, authorize, monitor and the steps, called with the events that AWS sends."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from millrace.contract import JobState, Tier
from millrace.tenants import Tenant

from tests.fakes import FakeSageMaker
from tests.functions.conftest import CONTEXT, Api, pairs, record

ACME = Tenant("acme", Tier.ENTERPRISE)
Put = Callable[[str, bytes], dict[str, Any]]


def _machine_has(embedded: dict[str, str]) -> list[str]:
    from millrace import aws

    listed = aws.stepfunctions().list_executions(stateMachineArn=embedded["MILLRACE_TRAIN_MACHINE"])
    return [execution["name"] for execution in listed["executions"]]


def _ingest(event: dict[str, Any]) -> Any:
    from functions.ingest.handler import handler

    return handler(event, CONTEXT)


def _job(embedded: dict[str, str]) -> Any:
    from functions import parts
    from functions.gateway.shapes import settings

    (item,) = parts.jobs(settings).active()
    return parts.jobs(settings).get(ACME, item["job_id"])


# --- ingest -----------------------------------------------------------------------------------------------------------
def test_a_batch_returns_only_its_failed_records(embedded: dict[str, str], put: Put) -> None:
    good = put("drop/acme/a.csv", pairs(3))["Records"][0]
    broken = {**record("m2", "b", "drop/acme/x.csv", "v"), "body": "{}"}
    nowhere = record("m3", "millrace-no-such-bucket", "drop/acme/x.csv", "v")
    outside = record("m4", embedded["MILLRACE_DROP_BUCKET"], "elsewhere/x.csv", "v")
    folder = record("m5", embedded["MILLRACE_DROP_BUCKET"], "drop/acme/", "v")

    told = _ingest({"Records": [good, broken, nowhere, outside, folder]})

    assert told == {"batchItemFailures": [{"itemIdentifier": "m2"}]}


def test_a_drop_that_needs_more_time_goes_on_by_an_event_of_its_own(
    embedded: dict[str, str], put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace import aws, intake

    from functions.ingest.handler import handler

    monkeypatch.setattr(intake, "_BLOCK_ROWS", 2)
    hurried = SimpleNamespace(**{**vars(CONTEXT), "get_remaining_time_in_millis": lambda: 0})
    queue, event, turns = embedded["MILLRACE_INGEST_QUEUE"], put("drop/acme/a.csv", pairs(5)), 0
    while True:
        turns += 1
        assert handler(event, hurried) == {"batchItemFailures": []}
        messages = aws.sqs().receive_message(QueueUrl=queue).get("Messages", [])
        if not messages:
            break
        aws.sqs().delete_message(QueueUrl=queue, ReceiptHandle=messages[0]["ReceiptHandle"])
        event = {"Records": [{**event["Records"][0], "body": messages[0]["Body"]}]}

    (drop,) = Api()("GET", "/api/drops").body["items"]
    assert (drop["state"], drop["accepted"], turns) == ("collected", 5, 4)
    one = Api()("GET", f"/api/drops/{drop['id']}").body
    assert one["report"] == drop["report"] and drop["report"] in one["report_url"]
    assert Api("other")("GET", f"/api/drops/{drop['id']}").status == 404


def test_what_fails_comes_again_soon_and_what_is_worked_on_does_not(
    embedded: dict[str, str], put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace.errors import Throttled
    from millrace.intake import Intake
    from millrace.queues import Queue

    from functions.ingest.handler import HIDDEN_S

    hidden: list[tuple[str, int]] = []
    monkeypatch.setattr(Queue, "hide", lambda self, receipt, for_s: hidden.append((receipt, for_s)))

    def fail(*_: Any) -> None:
        raise Throttled("The table asks to be called less often.")

    (good,) = put("drop/acme/a.csv", pairs(1))["Records"]
    good = {**good, "receiptHandle": "r", "attributes": {"ApproximateReceiveCount": "3"}}
    _ingest({"Records": [good]})
    monkeypatch.setattr(Intake, "collect", fail)
    _ingest({"Records": [good]})

    assert hidden == [("r", HIDDEN_S), ("r", HIDDEN_S), ("r", 60)]


def test_a_mapping_is_kept_and_the_files_to_come_are_read_by_it(embedded: dict[str, str], put: Put) -> None:
    api, body = Api(), b"Entwurf;Endfassung\nLang.;Kurz.\n"
    _ingest(put("drop/acme/before.csv", body))
    assert api("PUT", "/api/drops/mapping", {"source": "Entwurf", "target": " endfassung"}).status == 200
    assert api("PUT", "/api/drops/mapping", {"sauce": "x"}).status == 422
    told = api("GET", "/api/drops/mapping").body
    _ingest(put("drop/acme/after.csv", body))

    assert (told["source"], told["target"], told["rejected"]) == ("Entwurf", "endfassung", None)
    assert Api("other")("GET", "/api/drops/mapping").body["source"] is None
    states = {item["key"]: item["state"] for item in api("GET", "/api/drops").body["items"]}
    assert states == {"drop/acme/before.csv": "refused", "drop/acme/after.csv": "collected"}


def test_why_a_drop_failed_is_logged_without_its_text(
    put: Put, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace.errors import Throttled
    from millrace.intake import Intake

    def fail(*_: Any) -> None:
        raise Throttled("The table asks to be called less often.")

    event = put("drop/acme/a.csv", pairs(1))
    monkeypatch.setattr(Intake, "collect", fail)
    assert _ingest(event)["batchItemFailures"] == [{"itemIdentifier": "m1"}]
    assert "Throttled" in logged()


@pytest.mark.parametrize(("error", "failed"), [("InvalidInput", []), ("Unavailable", [{"itemIdentifier": "m1"}])])
def test_a_training_that_cannot_begin_fails_no_drop_unless_it_may_the_next_time(
    put: Put, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch, error: str, failed: list[Any]
) -> None:
    """C10: a policy that fits no more is told in the log; a message that fails is collected again and again."""
    from millrace import errors
    from millrace.policies import Collection

    def fail(*_: Any) -> None:
        raise getattr(errors, error)("not so")

    monkeypatch.setattr(Collection, "on_new", fail)

    assert _ingest(put("drop/acme/a.csv", pairs(3)))["batchItemFailures"] == failed
    assert error in logged() and Api()("GET", "/api/drops").body["items"][0]["state"] == "collected"


def test_the_threshold_begins_one_training_however_often_the_event_comes(embedded: dict[str, str], put: Put) -> None:
    event = put("drop/acme/a.csv", pairs(80))

    for _ in range(3):
        assert _ingest(event) == {"batchItemFailures": []}

    job = _job(embedded)
    assert job.started_by == "policy" and _machine_has(embedded) == [f"{job.id}-1"]


def test_below_the_threshold_nothing_begins_and_a_tenants_own_threshold_holds(
    embedded: dict[str, str], put: Put
) -> None:
    from millrace.policies import TrainingPolicy, set_training_policy

    from functions import parts
    from functions.ingest.handler import settings

    _ingest(put("drop/acme/a.csv", pairs(59)))
    assert _machine_has(embedded) == []

    assert parts.collection(settings).policy(ACME) == TrainingPolicy(60)
    set_training_policy(parts.table(settings), ACME, TrainingPolicy(61))
    _ingest(put("drop/acme/b.csv", pairs(60)))
    assert _machine_has(embedded) == []
    _ingest(put("drop/acme/c.csv", pairs(61)))
    assert len(_machine_has(embedded)) == 1


# --- progress ---------------------------------------------------------------------------------------------------------
def _logs(stream: str, *lines: str, kind: str = "DATA_MESSAGE", first_ms: int = 0) -> dict[str, Any]:
    payload = {
        "messageType": kind,
        "owner": "123456789012",
        "logGroup": "/aws/sagemaker/TrainingJobs",
        "logStream": stream,
        "subscriptionFilters": ["f"],
        "logEvents": [{"id": str(n), "timestamp": n, "message": line} for n, line in enumerate(lines, first_ms)],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}}


def _line(step: int, **more: Any) -> str:
    return json.dumps({"type": "progress", "status": "training", "step": step, "steps": 9, **more})


@pytest.mark.parametrize(
    ("lines", "step"),
    [
        ([_line(1), "epoch 1", _line(2, loss=0.5, metrics={"lr": 1e-300, "huge": 1e300})], 2),
        ([_line(3), '{"type": "progress", "step": "x"}', '{"type":"metrics","metrics":{}}', "{", "[]", "null", "7"], 3),
        (["no progress at all"], None),
        ([_line(-1)], None),
        ([], None),
    ],
)
def test_the_last_progress_line_becomes_the_jobs_progress(
    embedded: dict[str, str], put: Put, lines: list[str], step: int | None
) -> None:
    from functions.progress.handler import handler

    _ingest(put("drop/acme/a.csv", pairs(80)))
    job = _job(embedded)

    handler(_logs(f"millrace-local-{job.id}-1-train/algo-1-1700000000", *lines), CONTEXT)

    progress = _job(embedded).progress
    assert progress.get("step") == step
    if step is not None:
        assert progress["stage"] == "train" and progress["steps"] == 9


def test_a_step_that_comes_again_after_a_restart_is_shown_and_a_batch_that_was_overtaken_is_not(
    embedded: dict[str, str], put: Put
) -> None:
    """J6: a machine that was taken away at step 7 had saved step 2."""
    from functions.progress.handler import handler

    _ingest(put("drop/acme/a.csv", pairs(80)))
    job = _job(embedded)
    shown = []

    for step, first_ms in ((7, 2_000), (6, 1_000), (2, 9_000), (3, 9_000), (3, 9_500)):
        handler(_logs(f"millrace-local-{job.id}-1-train/algo-1", _line(step), first_ms=first_ms), CONTEXT)
        shown.append(_job(embedded).progress["step"])

    assert shown == [7, 7, 2, 3, 3]


@pytest.mark.parametrize(
    "stream",
    ["", "somebody-elses/algo", "millrace-local-j1-1-train/algo", "j1-1-train", "millrace-local-a-1-train-b/algo"],
)
def test_lines_of_what_is_not_ours_or_over_are_let_go(embedded: dict[str, str], stream: str) -> None:
    from functions import parts
    from functions.progress.handler import handler, settings

    handler(_logs(stream, _line(1)), CONTEXT)
    handler(_logs(stream, kind="CONTROL_MESSAGE"), CONTEXT)

    assert parts.jobs(settings).page(ACME, 10, None) == ([], None)


def test_late_lines_of_an_earlier_attempt_change_nothing(embedded: dict[str, str], put: Put) -> None:
    from functions import parts
    from functions.progress.handler import handler, settings

    _ingest(put("drop/acme/a.csv", pairs(80)))
    job = _job(embedded)
    parts.jobs(settings).move(ACME, job.id, JobState.QUEUED, 1, {"attempt": 2, "progress": {}})

    handler(_logs(f"millrace-local-{job.id}-1-train/algo-1", _line(5)), CONTEXT)
    assert _job(embedded).progress == {}


# --- authorize --------------------------------------------------------------------------------------------------------
@pytest.fixture
def key(embedded: dict[str, str]) -> str:
    from millrace.access import Access, fresh_key

    from functions import parts
    from functions.authorize.handler import settings

    key = fresh_key()
    Access(parts.table(settings)).grant(key, ACME)
    return key


@pytest.mark.parametrize(
    "form", ["x-api-key: {}", "X-Api-Key: {}", "authorization: Bearer {}", "Authorization: bearer  {} "]
)
def test_a_known_key_is_its_tenant_in_both_forms(key: str, form: str) -> None:
    from functions.authorize.handler import handler

    name, _, value = form.format(key).partition(": ")
    told = handler({"version": "2.0", "headers": {name: value}}, CONTEXT)

    assert told["isAuthorized"] is True
    assert told["context"] == {"tenant": "acme", "tier": "ENTERPRISE", "roles": "clinician,editor,operator,reader"}


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"x-api-key": ""},
        {"x-api-key": "mr_unknown"},
        {"x-api-key": "x" * 10_000},
        {"x-api-key": "🙂#%\x00"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic {key}"},
        {"authorization": "{key}"},
        {"cookie": "x-api-key={key}"},
        {"x-api-key": "{key}x"},
        {"x-api-key": "{hash}"},
    ],
)
def test_anything_else_is_nobody(key: str, headers: dict[str, str] | None) -> None:
    import hashlib

    from functions.authorize.handler import handler

    digest = hashlib.sha256(key.encode()).hexdigest()
    filled = {n: v.replace("{key}", key).replace("{hash}", digest) for n, v in headers.items()} if headers else headers
    assert handler({"version": "2.0", "headers": filled}, CONTEXT) == {"isAuthorized": False}


def test_a_key_is_stored_as_its_hash_alone_and_never_logged(
    key: str, embedded: dict[str, str], logged: Callable[[], str]
) -> None:
    from millrace import aws

    from functions.authorize.handler import handler

    handler({"headers": {"x-api-key": key}}, CONTEXT)
    stored = json.dumps(aws.dynamodb().scan(TableName=embedded["MILLRACE_TABLE"])["Items"])
    aws.dynamodb().delete_table(TableName=embedded["MILLRACE_TABLE"])

    assert handler({"headers": {"x-api-key": key}}, CONTEXT) == {"isAuthorized": False}
    assert key not in stored and key not in logged()


# --- monitor ----------------------------------------------------------------------------------------------------------
def test_the_sweep_starts_what_was_never_started_and_one_bad_job_stops_no_other(
    embedded: dict[str, str], put: Put
) -> None:
    from millrace.tenants import Kind, system_pk

    from functions import parts
    from functions.monitor.handler import handler, settings

    _ingest(put("drop/acme/a.csv", pairs(80)))
    job = _job(embedded)
    table = parts.table(settings)
    table.put({"pk": system_pk(Kind.ACTIVE_JOB), "sk": "j0", "job_id": "j0", "tenant": "acme", "tier": "FREE"})

    from millrace import aws

    status = aws.stepfunctions().describe_execution(
        executionArn=parts.jobs(settings).execution_arn(job),
    )["status"]
    told = handler({}, CONTEXT)

    assert told == {"error": 1, "left" if status == "RUNNING" else "restarted": 1}


# --- steps ------------------------------------------------------------------------------------------------------------
WEIGHTS = b"abc"
GOOD = {"examples": 20.0, "content_kept_rate": 0.95, "edit_rate": 0.8, "edit_gain_low": 0.3, "loss_ratio": 0.4}


def _manifest(stage: str, metrics: dict[str, float]) -> bytes:
    from millrace.container import Manifest, ManifestFile

    file = ManifestFile(path="weights.bin", sha256=hashlib.sha256(WEIGHTS).hexdigest(), size_bytes=len(WEIGHTS))
    return (
        Manifest(
            format={"train": "adapter", "evaluate": "evaluation", "gguf": "gguf"}[stage],
            strategy={"train": "lora-sft", "evaluate": "lora-evaluate", "gguf": "gguf"}[stage],
            files=[file],
            metrics=metrics,
            hyperparameters={"instruction": "Rewrite:", "rank": 16},
            source_sha256="1" * 64,
        )
        .model_dump_json()
        .encode()
    )


class Walk:
    """What the state machine does, container by container, with containers that leave what they are told to."""

    def __init__(self, embedded: dict[str, str], put: Put) -> None:
        _ingest(put("drop/acme/a.csv", pairs(80)))
        self.job = _job(embedded)
        self.event = {"tenant": "acme", "job_id": self.job.id, "attempt": 1}

    def step(self, name: str, **more: Any) -> Any:
        from importlib import import_module

        return import_module(f"functions.steps.{name}").handler({**self.event, **more}, CONTEXT)

    def leave(self, plan: dict[str, Any], stage: str, metrics: dict[str, float]) -> None:
        from millrace import aws

        bucket, _, prefix = plan[stage]["output_path"].removeprefix("s3://").partition("/")
        folder = f"{prefix}{plan[stage]['name']}/output/model/"
        aws.s3().put_object(Bucket=bucket, Key=folder + "weights.bin", Body=WEIGHTS)
        aws.s3().put_object(Bucket=bucket, Key=folder + "manifest.json", Body=_manifest(stage, metrics))

    def state(self) -> Any:
        api = Api()
        job = api("GET", f"/api/training-jobs/{self.job.id}").body
        model = api("GET", f"/api/models/{job['model_id']}").body if job["model_id"] else None
        return job, model


@pytest.fixture
def walk(embedded: dict[str, str], put: Put) -> Walk:
    return Walk(embedded, put)


def test_a_good_candidate_goes_all_the_way_and_answers(walk: Walk, sagemaker: FakeSageMaker) -> None:
    plan = walk.step("plan")
    assert walk.step("plan") == plan
    for stage, metrics in (("train", {}), ("evaluate", GOOD), ("gguf", GOOD | {"parity_passed": 1.0})):
        walk.leave(plan, stage, metrics)
    assert walk.step("gate", subject="adapter") == walk.step("gate", subject="gguf") == {"passed": True}
    assert walk.step("register") == walk.step("register") == {"model_id": "humanizer@1"}
    endpoint = walk.step("deploy", action="start")["endpoint"]
    assert walk.step("deploy", action="check") == {"status": "creating"}
    sagemaker.endpoints[endpoint]["EndpointStatus"] = "InService"
    assert walk.step("deploy", action="check") == walk.step("deploy", action="check") == {"status": "in_service"}
    assert walk.step("register") == {"model_id": "humanizer@1"}, "a step that is repeated late takes nothing back"
    assert walk.step("conclude", outcome="completed") == {"state": "completed"}

    job, model = walk.state()
    assert (job["state"], job["error"], model["state"], model["version"]) == ("completed", None, "active", 1)
    assert model["lineage"]["snapshot_id"] == job["snapshot_id"] and model["metrics"]["parity_passed"] == 1.0
    assert [artifact["stage"] for artifact in model["artifacts"]] == ["train", "evaluate", "gguf"]
    answer = Api()("POST", "/api/humanize", {"text": "Moreover we utilize 3 servers in hall 3."}).body
    assert any("humanizer@1" in reason["text"] for reason in answer["reasons"])
    assert walk.step("conclude", outcome="failed", error={"Error": "X"}) == {"state": "completed"}


@pytest.mark.parametrize("metrics", [GOOD | {"edit_rate": 0.1}, {}, GOOD | {"loss_ratio": float("nan")}])
def test_a_bad_candidate_is_refused_with_every_reason(walk: Walk, metrics: dict[str, float]) -> None:
    plan = walk.step("plan")
    walk.leave(plan, "train", {})
    walk.leave(plan, "evaluate", metrics)

    assert walk.step("gate", subject="adapter") == {"passed": False}
    assert walk.step("conclude", outcome="refused") == {"state": "failed"}

    job, model = walk.state()
    assert job["error"].startswith("The gate refused the model: ") and model["state"] == "failed"
    assert all(reason["text"] in job["error"] for reason in job["gates"]["adapter"]["reasons"])
    assert Api()("GET", "/api/system/health").body["active_jobs"] == 0


def test_a_job_shows_the_values_that_it_was_trained_with(embedded: dict[str, str], walk: Walk) -> None:
    """J2: what advice and room decided is on the job and on its run, and the next attempt begins with it."""
    from functions import parts
    from functions.gateway.shapes import settings

    assert walk.state()[0]["hyperparameters"]["rank"] == 0
    plan = walk.step("plan")
    walk.leave(plan, "train", {})
    walk.leave(plan, "evaluate", GOOD)
    walk.step("gate", subject="adapter")

    shown = walk.state()[0]
    (run,) = Api()("GET", f"/api/training-jobs/{walk.job.id}/attempts").body["items"]
    assert shown["hyperparameters"]["rank"] == run["hyperparameters"]["rank"] == 16
    assert shown["hyperparameters"]["epochs"] == 0, "what the container did not tell stays as it was asked for"
    assert shown["base_model"] == "millrace-tiny" == walk.state()[1]["lineage"]["base"]
    again = parts.jobs(settings).again(ACME, parts.jobs(settings).get(ACME, walk.job.id), "Lost", "It was lost.")
    walk.event["attempt"] = again.attempt
    assert walk.step("plan")["train"]["hyperparameters"]["rank"] == "16"


def test_a_job_that_asks_for_less_passes_the_gate_with_less(embedded: dict[str, str], walk: Walk) -> None:
    """J9: a minimum, a maximum and what is to be above, each by the job's own bound; the report tells which."""
    from functions import parts
    from functions.gateway.shapes import settings

    bounds = {"edit_rate": 0.05, "loss_ratio": 1.2, "edit_gain_low": -0.5}
    parts.jobs(settings).note(ACME, walk.job.id, 1, {"thresholds": bounds})
    plan = walk.step("plan")
    walk.leave(plan, "train", {})
    walk.leave(plan, "evaluate", GOOD | {"edit_rate": 0.1, "loss_ratio": 1.1, "edit_gain_low": -0.1})

    assert walk.step("gate", subject="adapter") == {"passed": True}

    report = parts.store(settings).get_json(f"tenants/acme/jobs/{walk.job.id}/1/gate-adapter.json")
    asked = {finding["metric"]: finding["bound"] for finding in report["findings"]}
    assert report["thresholds"] == bounds == walk.state()[0]["thresholds"]
    assert (asked["edit_rate"], asked["loss_ratio"], asked["edit_gain_low"]) == (">= 0.05", "<= 1.2", "> -0.5")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ({"Error": "States.Timeout"}, "A step took longer than its time limit and was stopped."),
        ({"Error": "E", "Cause": "plain words"}, "plain words"),
        ({"Error": "E", "Cause": '{"FailureReason": "it ran out of memory"}'}, "it ran out of memory"),
        ({"Error": "E", "Cause": '{"errorMessage": "no manifest", "errorType": "X"}'}, "no manifest"),
        (
            {
                "Error": "TrainingFailed",
                "Cause": '{"TrainingJobStatus":"Stopped","SecondaryStatus":"MaxRuntimeExceeded"}',
            },
            "The container was stopped: it ran for longer than its time limit.",
        ),
        (
            {"Error": "TrainingFailed", "Cause": '{"TrainingJobStatus":"Stopped","SecondaryStatus":"Stopped"}'},
            "The container was stopped before it had finished.",
        ),
        ({"Error": "E", "Cause": "[1]"}, "[1]"),
        (None, "The training failed without a reason."),
        ({"Error": "E", "Cause": "{" + "x" * 32_000}, "{" + "x" * 998 + "…"),
    ],
)
def test_a_failed_training_ends_with_one_sentence(walk: Walk, error: Any, sentence: str) -> None:
    walk.step("plan")

    assert walk.step("conclude", outcome="failed", error=error) == {"state": "failed"}
    assert walk.step("conclude", outcome="failed", error={"Error": "again"}) == {"state": "failed"}

    job, model = walk.state()
    assert job["error"] == model["error"] == sentence


def test_a_container_that_left_nothing_or_half_is_named(walk: Walk) -> None:
    from millrace import aws
    from millrace.errors import Corrupt, TrainingFailed

    plan = walk.step("plan")
    with pytest.raises(TrainingFailed, match=r"The evaluate container ended without a manifest\.json"):
        walk.step("gate", subject="adapter")
    bucket, _, prefix = plan["evaluate"]["output_path"].removeprefix("s3://").partition("/")
    key = f"{prefix}{plan['evaluate']['name']}/output/model/manifest.json"
    aws.s3().put_object(Bucket=bucket, Key=key, Body=b'{"format": "adap')
    with pytest.raises(Corrupt, match=r"manifest\.json is not one"):
        walk.step("gate", subject="adapter")


@pytest.mark.parametrize("over", ["cancelled", "next attempt"])
@pytest.mark.parametrize(
    ("step", "more"),
    [
        ("plan", {}),
        ("gate", {"subject": "adapter"}),
        ("register", {}),
        ("deploy", {"action": "start"}),
        ("deploy", {"action": "check"}),
    ],
)
def test_an_attempt_that_is_over_does_nothing_more(
    walk: Walk, sagemaker: FakeSageMaker, over: str, step: str, more: dict[str, str]
) -> None:
    from millrace.errors import Conflict

    from functions import parts
    from functions.steps.common import settings

    plan = walk.step("plan")
    for stage in ("train", "evaluate", "gguf"):
        walk.leave(plan, stage, GOOD | {"parity_passed": 1.0})
    if over == "cancelled":
        Api()("DELETE", f"/api/training-jobs/{walk.job.id}")
    else:
        parts.jobs(settings).move(ACME, walk.job.id, JobState.QUEUED, 1, {"attempt": 2})

    with pytest.raises(Conflict):
        walk.step(step, **more)
    walk.step("conclude", outcome="failed", error={"Error": "Conflict"})

    job, model = walk.state()
    assert (job["state"], model["state"]) == (
        ("cancelled", "cancelled") if over == "cancelled" else ("queued", "training")
    )
    assert not sagemaker.endpoints
