"""The loop, on the real stack: what a user does, and what happens when things go wrong in the middle of it."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdk.local import twin as process
from cdk.local.api import Api, Problem
from tests.flow.turning import Turning, pairs, until

pytestmark = pytest.mark.twin


def test_a_dropped_file_becomes_a_serving_model_and_auto_asks_it(turning: Turning) -> None:
    """L1, C2, C10, J1, E2, Q3, R3: threshold to catalogue without a hand on it."""
    answer = turning.api.post("/api/humanize", {"text": "Moreover, the lamp number 7 is here."})
    edit = turning.api.post(
        "/api/feedback", {"decision_id": answer["decision_id"], "edited_text": "Lamp number 7 is over here."}
    )
    key = turning.drop("lamps.csv", pairs("lamp", 230) + b"only one cell\n")
    (drop,) = turning.collected(key)
    assert (drop["accepted"], drop["duplicate"], drop["rejected"]) == (230, 0, 1)
    assert drop["reasons"] == [{"line": 232, "reason": "1 column where the header has 2", "file": None}]

    jobs = until(lambda: turning.api.get("/api/training-jobs")["items"], "a job of the threshold")
    job = turning.job(jobs[0]["id"], "completed", within_s=120)
    assert job["started_by"] == "policy" and job["gates"]["gguf"]["passed"]

    model = turning.api.get(f"/api/models/{job['model_id']}")
    assert model["state"] == "active" and model["lineage"]["snapshot_id"] == job["snapshot_id"]
    ids_key = f"tenants/demo/snapshots/{job['snapshot_id']}/ids.txt"
    body = turning.aws("s3").get_object(Bucket=turning.outputs["DataBucket"], Key=ids_key)["Body"].read()
    assert edit["data_point_id"].encode() in body

    again = turning.api.post("/api/humanize", {"text": "Moreover, the lamp number 7 is here."})
    assert (again["model_id"], again["text"]) == (model["id"], "The lamp number 7 is here.")
    prose = turning.api.post("/api/humanize", {"text": "Quarterly revenue exceeded projections."})
    assert prose["model_id"] == "rules"
    assert any(reason["code"] == "misfit" for reason in prose["reasons"])


def test_the_aws_endpoint_answers_to_an_ordinary_client(turning: Turning) -> None:
    """L2."""
    buckets = {bucket["Name"] for bucket in turning.aws("s3").list_buckets()["Buckets"]}
    assert {turning.outputs["DropBucket"], turning.outputs["DataBucket"]} <= buckets
    assert turning.outputs["TableName"] in turning.aws("dynamodb").list_tables()["TableNames"]
    machine = turning.outputs["TrainMachineArn"]
    assert turning.aws("stepfunctions").list_executions(stateMachineArn=machine)["executions"]


def test_the_same_drop_twice_and_two_drops_at_once_give_each_row_once(turning: Turning) -> None:
    """C2."""
    body = pairs("kettle", 60)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: turning.drop(name, body), ("one.csv", "two.csv")))
    first, second = turning.collected("drop/demo/one.csv"), turning.collected("drop/demo/two.csv")
    assert first[0]["accepted"] + second[0]["accepted"] == 60
    assert first[0]["duplicate"] + second[0]["duplicate"] == 60

    turning.drop("one.csv", body)
    both = turning.collected("drop/demo/one.csv", 2)
    assert sorted(drop["accepted"] for drop in both)[0] == 0


@pytest.mark.parametrize(
    ("name", "body", "line", "says"),
    [
        ("column.csv", b"colour,size\na,b\n", 1, "no source column"),
        ("encoding.csv", "prompt,completion\nIl fait tr\xe8s froid,Il fait froid\n".encode("latin-1"), 2, "not UTF-8"),
        ("nul.csv", b"prompt,completion\na\0b,c\n", 2, "NUL"),
        ("quote.csv", b'prompt,completion\n"never closed,b\nfine line,fine\n', 2, "quote"),
        ("cell.csv", b"prompt,completion\n" + b"a" * 2_000_000 + b",b\n", 2, "characters"),
        ("empty.csv", b"", 1, "empty"),
    ],
)
def test_a_bad_file_says_what_is_wrong_by_line(turning: Turning, name: str, body: bytes, line: int, says: str) -> None:
    """C2."""
    (drop,) = turning.collected(turning.drop(name, body))
    found = [reason for reason in drop["reasons"] if reason["line"] == line]
    assert found and says in found[0]["reason"]


def test_too_few_pairs_are_refused_with_the_minimum(turning: Turning) -> None:
    """J10: the sentence names what is missing."""
    stranger = Api(turning.record["api_url"], _key_of(turning, "stranger"))
    with pytest.raises(Problem, match="at least 40 usable pairs") as refused:
        stranger.post("/api/training-jobs", {})
    assert refused.value.status == 422


@pytest.mark.parametrize(("seed", "says"), [(101, "told to fail"), (104, "manifest")])
def test_a_training_that_fails_ends_as_failed_with_one_sentence(turning: Turning, seed: int, says: str) -> None:
    """J8: and the next job runs."""
    job = turning.job(_begin(turning, seed), "failed")
    assert says in job["error"]
    model = f"/api/models/{job['model_id']}"  # settled after the job, a moment later
    until(lambda: turning.api.get(model)["state"] == "failed", "the end of the version")


@pytest.mark.parametrize(
    ("seed", "code", "says"),
    [
        (105, "Failed", "says that adapter.safetensors has 4 bytes; it has 11"),
        (107, "DiskFull", "No space left on device; ask for a larger volume."),
        (108, "Killed", "The container was killed, as happens when its machine runs out of memory."),
    ],
)
def test_whatever_ends_a_container_its_job_ends_with_a_sentence_and_leaves_nothing(
    turning: Turning, seed: int, code: str, says: str
) -> None:
    """J8: a container that lies in its manifest, a full disk, kill -9."""
    id = _begin(turning, seed)
    job = turning.job(id, "failed", within_s=150)
    assert (job["error_code"], says in job["error"]) == (code, True), job["error"]
    until(lambda: turning.api.get("/api/system/health")["active_jobs"] == 0, "its last trace to go")
    names = turning.aws("sagemaker").list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    assert not [name for name in names if id in name["TrainingJobName"]]


def test_a_training_without_memory_is_begun_again_smaller_and_completes(turning: Turning) -> None:
    """J8: the ladder, by causing it; every attempt is a run with its own log and end."""
    id = _begin(turning, 106)
    job = turning.job(id, "completed", within_s=150)

    assert job["hyperparameters"]["batch_size"] == 4 and job["attempt"] == 3
    runs = turning.api.get(f"/api/training-jobs/{id}/attempts")["items"]
    assert [run["state"] for run in runs] == ["failed", "failed", "completed"]
    assert [run["error_code"] for run in runs] == ["OutOfMemory", "OutOfMemory", None]
    curve = until(lambda: turning.api.get(f"/api/training-jobs/{id}/metrics")["parts"].get("train"), "its figures")
    assert [point["step"] for point in curve][-1] == 2


def test_a_training_that_hangs_is_stopped_at_its_limit_and_says_so(turning: Turning) -> None:
    """J8."""
    job = turning.job(_begin(turning, 102, max_runtime_s=3), "failed")
    assert "time limit" in job["error"]


def test_a_cancelled_job_ends_within_seconds_and_its_work_with_it(turning: Turning) -> None:
    """J8."""
    id = _begin(turning, 102)
    turning.job(id, "running")
    name = f"millrace-local-{id}-1-train"
    sagemaker = turning.aws("sagemaker")
    until(lambda: _status(sagemaker, name) == "InProgress", "the container's start")

    assert turning.api.delete(f"/api/training-jobs/{id}")["state"] == "cancelled"

    until(lambda: _status(sagemaker, name) == "Stopped", "the container's end", within_s=15)
    assert turning.api.get("/api/system/health")["active_jobs"] == 0
    assert (
        turning.api.get(f"/api/models/{turning.api.get(f'/api/training-jobs/{id}')['model_id']}")["state"]
        == "cancelled"
    )


def test_progress_of_a_running_container_is_seen(turning: Turning) -> None:
    """J6."""
    id = _begin(turning, 103)
    seen = until(lambda: turning.api.get(f"/api/training-jobs/{id}")["progress"].get("step"), "progress", 30)
    assert seen >= 1
    turning.job(id, "completed", within_s=90)


def test_stopped_in_the_middle_of_a_training_it_goes_on_and_ends_once(turning: Turning) -> None:
    """L1: kill -9 of everything; after `make up` the job ends right, once, and nothing that was there is lost."""
    before = turning.api.get("/api/training-data?limit=100")["items"]
    id = _begin(turning, 103)
    turning.job(id, "running")
    until(lambda: turning.api.get(f"/api/training-jobs/{id}")["progress"].get("step"), "progress")
    pid = process.running(turning.twin)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: process.running(turning.twin) is None, "the twin's end")

    turning.again()

    job = turning.job(id, "completed", within_s=180)
    assert job["attempt"] == 2
    assert turning.api.get("/api/training-data?limit=100")["items"] == before
    ours = [model for model in turning.api.get("/api/models?limit=100")["items"] if model["lineage"]["job_id"] == id]
    assert len(ours) == 1


def _begin(turning: Turning, seed: int, **more: object) -> str:
    return str(turning.api.post("/api/training-jobs", {"hyperparameters": {"seed": seed}, **more})["id"])


def _status(sagemaker: object, name: str) -> str:
    try:
        return str(sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"])  # type: ignore[attr-defined]
    except Exception:
        return ""


def _key_of(turning: Turning, tenant: str) -> str:
    from millrace.access import Access, fresh_key
    from millrace.contract import Tier
    from millrace.table import Table
    from millrace.tenants import Tenant

    key = fresh_key()
    table = Table(turning.aws("dynamodb"), turning.outputs["TableName"])
    Access(table).grant(key, Tenant(tenant, Tier.ENTERPRISE))
    return key
