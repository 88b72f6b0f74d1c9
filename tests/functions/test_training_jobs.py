"""/api/training-jobs: what can be asked of a job while it runs and after."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from millrace.contract import JobState
from millrace.jobs import Job as DomainJob
from millrace.tenants import Tenant

from tests.functions.conftest import CONTEXT, Api
from tests.functions.test_gateway import _trained
from tests.functions.test_handlers import _line, _logs

Put = Callable[[str, bytes], dict[str, Any]]
JOBS = "/api/training-jobs"


def _said(job: dict[str, Any], *lines: str, attempt: int = 1, part: str = "train") -> None:
    from functions.progress.handler import handler

    handler(_logs(f"millrace-local-{job['id']}-{attempt}-{part}/algo-1", *lines), CONTEXT)


def _jobs(api: Api) -> Any:
    from functions import parts
    from functions.gateway.shapes import settings

    return parts.jobs(settings), Tenant(str(api.tenant))


def test_a_job_has_the_same_face_under_both_names(api: Api, put: Put) -> None:
    job = _trained(api, put)

    assert api("GET", f"/api/jobs/{job['id']}").body == api("GET", f"{JOBS}/{job['id']}").body
    assert (job["state"], job["priority"], job["attempt"]) == ("queued", "normal", 1)
    assert job["forecast"]["parts"][0]["instance_type"] == "ml.local"


def test_the_list_can_be_of_one_state_and_goes_page_by_page(api: Api, put: Put) -> None:
    job = _trained(api, put)
    jobs, tenant = _jobs(api)
    jobs.move(tenant, job["id"], JobState.RUNNING, 1)
    more = [api("POST", JOBS, {}).body["id"] for _ in range(3)]

    assert [j["id"] for j in api("GET", JOBS, query="state=running").body["items"]] == [job["id"]]
    first = api("GET", JOBS, query="state=queued&limit=2").body
    rest = api("GET", JOBS, query=f"state=queued&limit=2&cursor={first['next']}").body
    assert [j["id"] for j in first["items"] + rest["items"]] == more[::-1] and rest["next"] is None
    assert api("GET", JOBS, query="state=completed").body == {"items": [], "next": None}
    assert api("GET", JOBS, query="state=dreaming").status == 422


def test_what_containers_say_is_read_while_they_run_and_after(api: Api, put: Put) -> None:
    job = _trained(api, put)
    path = f"{JOBS}/{job['id']}/logs"
    empty = api("GET", path).body
    assert empty["items"] == [] and empty["next"]

    _said(job, "loading", _line(1, loss=2.0), "a line\nof two")
    first = api("GET", path, query=f"cursor={quote(empty['next'])}").body
    assert [line["text"] for line in first["items"]] == ["loading", "a line\nof two"]
    assert {line["part"] for line in first["items"]} == {"train"} and first["items"][0]["at"].startswith("1970-01-01")
    jobs, tenant = _jobs(api)
    jobs.settle(tenant, jobs.move(tenant, job["id"], JobState.FAILED, 1, {"error": "It broke."}))
    assert api("GET", path).body["items"] == first["items"]


def test_late_lines_of_a_job_that_is_over_are_kept(api: Api, put: Put) -> None:
    job = _trained(api, put)
    assert api("DELETE", f"{JOBS}/{job['id']}").body["state"] == "cancelled"

    _said(job, "Traceback (most recent call last):")

    assert [line["text"] for line in api("GET", f"{JOBS}/{job['id']}/logs").body["items"]] == [
        "Traceback (most recent call last):"
    ]


def test_figures_make_a_curve_for_each_part_and_attempt(api: Api, put: Put) -> None:
    job = _trained(api, put)
    _said(job, _line(1, loss=2.0), _line(2, loss=1.5, metrics={"learning_rate": 0.1}))
    _said(job, _line(1, accuracy=0.5), part="evaluate")

    told = api("GET", f"{JOBS}/{job['id']}/metrics").body

    assert [(p["step"], p["loss"]) for p in told["parts"]["train"]] == [(1, 2.0), (2, 1.5)]
    assert told["parts"]["train"][1]["learning_rate"] == 0.1 and told["parts"]["evaluate"][0]["accuracy"] == 0.5
    assert api("GET", f"{JOBS}/{job['id']}/metrics", query="attempt=2").body == {"attempt": 2, "parts": {}}
    assert api("GET", f"{JOBS}/{job['id']}/progress").body["progress"]["stage"] == "evaluate"


def test_every_attempt_is_a_run_with_its_own_figures_and_end(api: Api, put: Put) -> None:
    job = _trained(api, put)
    jobs, tenant = _jobs(api)
    running = jobs.move(tenant, job["id"], JobState.RUNNING, 1)
    jobs.again(tenant, running, "OutOfMemory", "16 rows did not fit.", {"hyperparameters": {"batch_size": 8}})
    _said(job, _line(3, loss=1.0), attempt=2)

    first, second = api("GET", f"{JOBS}/{job['id']}/attempts").body["items"]

    assert (first["state"], first["error"], first["error_code"]) == ("failed", "16 rows did not fit.", "OutOfMemory")
    assert first["started_at"] and first["ended_at"] and first["hyperparameters"]["batch_size"] == 16
    assert (second["attempt"], second["state"], second["hyperparameters"]) == (2, "queued", {"batch_size": 8})
    shown = api("GET", f"{JOBS}/{job['id']}").body
    assert shown["hyperparameters"] == {"batch_size": 8} and shown["recoveries"][0]["code"] == "OutOfMemory"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"strategy": "magic"}, "no strategy 'magic'"),
        ({"hyperparameters": {"rank": 257}}, "rank lies between 0"),
        ({"hyperparameters": {"depth": 3}}, "no hyperparameter depth"),
        ({"strategy": "lora-sft", "dataset_id": "d1"}, "trains on pairs, not on images"),
        ({"dataset_id": "d1"}, "no dataset d1 that is ready"),
        ({"snapshot_id": "sn-of-another"}, "no snapshot"),
        ({"priority": "now"}, "priority"),
        ({"max_cost": 5}, "max_cost: Extra inputs are not permitted"),
        ({"framework": "tensorflow"}, "lora-sft trains with pytorch, not with tensorflow"),
        ({"base_model": "no-such"}, "no base model no-such: base/no-such/ holds no config.json"),
        ({"base_model": "../tenants/other"}, "A base model is a folder below base/"),
        ({"base_model": "x", "dataset_id": "d1"}, "cnn-search has no base_model"),
        ({"thresholds": {"edit_rte": 0.1}}, "no threshold edit_rte for pairs; it has content_kept_rate"),
        ({"thresholds": {"edit_rate": "much"}}, "thresholds.edit_rate"),
    ],
)
def test_what_cannot_work_is_said_and_nothing_is_begun(api: Api, put: Put, asked: dict[str, Any], says: str) -> None:
    _trained(api, put)
    before = len(api("GET", JOBS).body["items"])
    for path in (JOBS, f"{JOBS}/forecast"):
        reply = api("POST", path, asked)
        assert reply.status in (404, 422) and says in reply.body["detail"], reply.body
    assert len(api("GET", JOBS).body["items"]) == before


def test_a_base_model_of_the_store_is_what_is_fine_tuned(api: Api, put: Put) -> None:
    """J2: framework and base model are a part of the configuration."""
    from functions import parts
    from functions.gateway.shapes import settings

    _trained(api, put)
    parts.store(settings).put_json("base/acme/Phi-3.5_mini/config.json", {})

    job = api("POST", JOBS, {"framework": "pytorch", "base_model": "acme/Phi-3.5_mini"}).body

    assert job["base_model"] == "acme/Phi-3.5_mini"
    assert {one["framework"] for one in api("GET", "/api/strategies").body["items"]} == {"pytorch"}


def test_a_job_tells_what_it_asks_of_the_gate(api: Api, put: Put) -> None:
    """J9: the gate's bounds are a part of the request."""
    _trained(api, put)

    job = api("POST", JOBS, {"thresholds": {"edit_rate": 0.6, "loss_ratio": 0.8}}).body

    assert job["thresholds"] == {"edit_rate": 0.6, "loss_ratio": 0.8}
    assert api("GET", f"{JOBS}/{job['id']}").body["thresholds"] == job["thresholds"]


def test_a_job_that_is_no_search_has_no_rounds(api: Api, put: Put) -> None:
    job = _trained(api, put)

    told = api("GET", f"{JOBS}/{job['id']}/search")

    assert told.status == 404 and "lora-sft; rounds are what cnn-search has" in told.body["detail"]


def test_a_long_search_is_told_page_by_page(api: Api) -> None:
    """J6, O3: what was tried grows with every round, and a reply may hold 6 MB."""
    from millrace.history import Tried

    from functions import parts
    from functions.gateway.shapes import settings

    jobs, tenant = _jobs(api)
    at = "2026-01-01T00:00:00.000Z"
    job = DomainJob("jsearch", JobState.PENDING, "cnn-search", 1, "net", at, "person", dataset_id="d1")
    assert jobs.create(tenant, job)
    spec: Any = {"blocks": [{"kind": "conv", "filters": 16}]}
    tried = [Tried(id=f"c{n}", number=n, spec=spec, state="completed").model_dump() for n in range(25)]
    task = {"height": 8, "width": 8, "channels": 1, "classes": 2, "samples": 90}
    results = {"format": 1, "round": 0, "task": task, "tried": tried, "best": 0.9, "reached": False}
    folder, store = f"tenants/{tenant.id}/jobs/jsearch/search/", parts.store(settings)
    store.put_json(folder + "state.json", {"began": at, "rounds": 1, "best": 0.9})
    store.put_json(folder + "round-0/results.json", results)

    first = api("GET", f"{JOBS}/jsearch/search").body
    rest = api("GET", f"{JOBS}/jsearch/search", query=f"cursor={quote(first['next'])}").body

    assert [one["number"] for one in first["tried"] + rest["tried"]] == list(range(25))
    assert len(first["tried"]) == 20 and rest["next"] is None and rest["best"] == 0.9


def test_a_forecast_begins_nothing(api: Api, put: Put) -> None:
    _trained(api, put)

    told = api("POST", f"{JOBS}/forecast", {}).body

    assert told["expected_usd"] == 0 and told["expected_s"] > 0 and told["month_limit_usd"] > 0
    assert [part["strategy"] for part in told["parts"]] == ["lora-sft", "lora-evaluate", "gguf"]
    assert len(api("GET", JOBS).body["items"]) == 1


@pytest.mark.parametrize("cursor", ["x", "001#log#~~", "002#log#", "001#fig#0", json.dumps({})])
def test_a_cursor_of_elsewhere_is_refused(api: Api, put: Put, cursor: str) -> None:
    job = _trained(api, put)
    reply = api("GET", f"{JOBS}/{job['id']}/logs", query=f"attempt=1&cursor={quote(cursor)}")
    assert reply.status == 422 and "cursor" in reply.body["detail"]


def test_another_tenants_job_is_missing_in_every_way(api: Api, put: Put) -> None:
    job = _trained(api, put)
    stranger = Api("stranger")
    for rest in ("", "/logs", "/metrics", "/attempts", "/progress"):
        reply = stranger("GET", f"{JOBS}/{job['id']}{rest}", query="attempt=1")
        assert reply.status == 404, (rest, reply.body)
    assert stranger("DELETE", f"{JOBS}/{job['id']}").status == 404
