from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from millrace import errors
from millrace.errors import MillraceError

from tests.functions.conftest import CONTEXT, Api, http_event, pairs

TEXT = "Moreover, it is important to note that we utilize 3 servers in Berlin."
Put = Callable[[str, bytes], dict[str, Any]]


def _problem(reply: Any) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.body["status"] == reply.status and {"type", "title", "detail"} <= set(reply.body)
    problem: dict[str, Any] = reply.body
    return problem


def _drop(put: Put, key: str, body: bytes) -> None:
    from functions.ingest.handler import handler

    assert handler(put(key, body), CONTEXT) == {"batchItemFailures": []}


def _trained(api: Api, put: Put) -> dict[str, Any]:
    """A training job of this tenant, begun by hand on enough pairs that the threshold did not see."""
    from millrace.policies import TrainingPolicy, set_training_policy
    from millrace.tenants import Tenant

    from functions import parts
    from functions.gateway.shapes import settings

    set_training_policy(parts.table(settings), Tenant(str(api.tenant)), TrainingPolicy(0))
    _drop(put, f"drop/{api.tenant}/a.csv", pairs(80))
    reply = api("POST", "/api/training-jobs", {})
    assert reply.status == 201, reply.body
    job: dict[str, Any] = reply.body
    return job


def test_a_text_is_humanized_in_the_shape_that_the_route_promises(api: Api) -> None:
    reply = api("POST", "/api/humanize", {"text": TEXT, "model_id": "auto", "strength": "medium", "tone": "plain"})

    assert reply.status == 200
    promised = "text model_id decision_id reasons complexity scores violations usage latency_ms"
    assert list(reply.body) == promised.split()
    assert set(reply.body["usage"]) == {"input_tokens", "output_tokens", "cost_usd"}
    assert set(reply.body["scores"]) == {"before", "after"} and set(reply.body["reasons"][0]) == {"code", "text"}


def test_a_correction_is_found_in_the_training_data(api: Api) -> None:
    answer = api("POST", "/api/humanize", {"text": TEXT}).body
    told = api(
        "POST", "/api/feedback", {"decision_id": answer["decision_id"], "edited_text": "We run 3 servers in Berlin."}
    )
    rated = api("POST", "/api/feedback", {"decision_id": answer["decision_id"], "rating": 4})

    assert told.status == rated.status == 200 and rated.body["data_point_id"] is None
    listed = api("GET", "/api/training-data").body
    assert listed["next"] is None
    edit, captured = listed["items"]
    assert (edit["id"], edit["origin"], edit["trains"]) == (told.body["data_point_id"], "edit", True)
    assert edit["origin_ref"] == captured["id"] == answer["decision_id"] and captured["trains"] is False


def test_a_correction_is_kept_where_the_training_that_is_due_cannot_begin(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace.training import Training

    def broken(*_: Any) -> None:
        raise errors.Unavailable("Step Functions is away.")

    monkeypatch.setattr(Training, "begin_if_due", broken)
    answer = api("POST", "/api/humanize", {"text": TEXT}).body
    assert (
        api("POST", "/api/feedback", {"decision_id": answer["decision_id"], "edited_text": "New text."}).status == 200
    )


def test_a_drop_is_told_in_the_shape_that_the_route_promises(api: Api, put: Put) -> None:
    _drop(put, "drop/acme/a.csv", b"prompt,completion\na,b\na,b\nbroken\n")

    (drop,) = api("GET", "/api/drops").body["items"]

    promised = {"key": "drop/acme/a.csv", "state": "collected", "accepted": 1, "duplicate": 1, "rejected": 1}
    assert promised.items() <= drop.items()
    assert drop["reasons"] == [{"line": 4, "reason": "1 column where the header has 2", "file": None}]


def test_a_training_is_begun_watched_and_cancelled(api: Api, put: Put) -> None:
    job = _trained(api, put)

    assert {"id", "state", "strategy", "progress", "error", "model_id", "created_at"} <= set(job)
    assert api("GET", f"/api/training-jobs/{job['id']}").body["state"] == "queued"
    assert [item["id"] for item in api("GET", "/api/training-jobs").body["items"]] == [job["id"]]
    assert api("DELETE", f"/api/training-jobs/{job['id']}").body["state"] == "cancelled"
    assert api("DELETE", f"/api/training-jobs/{job['id']}").status == 200
    assert api("GET", "/api/system/health").body["active_jobs"] == 0


def test_too_few_pairs_are_refused_with_the_minimum_in_the_sentence(api: Api, put: Put) -> None:
    _drop(put, "drop/acme/a.csv", pairs(5))

    problem = _problem(api("POST", "/api/training-jobs", {}))
    assert problem["status"] == 422 and "at least 40 usable pairs" in problem["detail"]


def test_the_same_idempotency_key_names_the_same_job_and_another_tenants_another(api: Api, put: Put) -> None:
    _trained(api, put)
    other = Api("other")
    _trained(other, put)

    first = api("POST", "/api/training-jobs", {}, idempotency_key="k1")
    again = api("POST", "/api/training-jobs", {}, idempotency_key="k1")
    foreign = other("POST", "/api/training-jobs", {}, idempotency_key="k1")

    assert first.status == again.status == foreign.status == 201
    assert first.body["id"] == again.body["id"] != foreign.body["id"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"strategy": "magic"}, "There is no strategy 'magic'"),
        ({"hyperparameters": {"rank": -1}}, "rank lies between"),
        ({"hyperparameters": {"colour": "red"}}, "has no hyperparameter colour"),
        ({"model_name": "Auto!"}, "A model's name is 2 to 32"),
        ('{"hyperparameters": {"learning_rate": NaN}}', "learning_rate lies between"),
        ('{"hyperparameters": {"instruction": "\\ud800"}}', "instruction holds an unpaired surrogate"),
    ],
)
def test_a_training_that_can_never_work_is_refused_in_words(api: Api, body: Any, says: str) -> None:
    problem = _problem(api("POST", "/api/training-jobs", body))
    assert problem["status"] == 422 and says in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"text": ""}, 422, "The text is empty"),
        ({"txt": "a"}, 422, "text: Field required"),
        ({"text": "x" * 5_000_001}, 413, "5,000,001 bytes; at most 5,000,000"),
        ({"text": "a", "model_id": "zz"}, 404, "There is no model 'zz'; auto"),
        ({"text": "a", "tone": "rude"}, 422, "tone: Input should be 'plain'"),
        ('{"text": "\\ud800"}', 422, ""),
        ("{", 422, "JSON"),
        ("[" * 5000, 422, "recursion limit"),
        ("\xff", 422, ""),
        ("null", 422, ""),
        (None, 422, "Field required"),
    ],
)
def test_a_request_that_is_none_is_a_problem_with_a_sentence(api: Api, body: Any, status: int, says: str) -> None:
    problem = _problem(api("POST", "/api/humanize", body))
    assert problem["status"] == status and says in problem["detail"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("id", ["j1", "a%23b", "x" * 3000, "%00", "..", "%2e%2e%2fsecret", "🙂", "%ff"])
def test_whatever_stands_for_an_id_is_a_problem_and_never_an_error_of_ours(api: Api, method: str, id: str) -> None:
    reply = api(method, f"/api/training-jobs/{id}")
    assert _problem(reply)["status"] in (404, 405, 422)


def test_a_wrong_method_tells_the_right_one(api: Api) -> None:
    reply = api("DELETE", "/api/humanize")
    assert _problem(reply)["status"] == 405 and reply.headers["allow"] == "POST"
    assert _problem(api("GET", "/api/nothing"))["status"] == 404


ROUTES = [
    ("POST", "/api/humanize", {"text": TEXT}, "editor"),
    ("POST", "/api/feedback", {"decision_id": "d", "rating": 1}, "editor"),
    ("POST", "/api/training-jobs", {}, "operator"),
    ("DELETE", "/api/training-jobs/j1", None, "operator"),
    ("GET", "/api/training-jobs/j1", None, "reader"),
    ("GET", "/api/training-data", None, "reader"),
    ("GET", "/api/models", None, "reader"),
    ("GET", "/api/drops", None, "reader"),
    ("GET", "/api/drops/dr1", None, "reader"),
    ("GET", "/api/drops/mapping", None, "reader"),
    ("PUT", "/api/drops/mapping", {"source": "Entwurf"}, "editor"),
]


@pytest.mark.parametrize(("method", "path", "body", "role"), ROUTES)
def test_nothing_is_answered_without_a_caller_and_nothing_changed_without_the_role(
    embedded: dict[str, str], method: str, path: str, body: Any, role: str
) -> None:
    assert _problem(Api(None)(method, path, body))["status"] == 401
    told = Api(roles="reader")(method, path, body)
    if role == "reader":
        assert told.status in (200, 404)
    else:
        assert _problem(told)["detail"] == f"This needs the role {role}."


@pytest.mark.parametrize("context", [{}, {"authorizer": None}, {"authorizer": {}}, {"authorizer": {"lambda": None}}])
def test_an_event_that_no_authorizer_has_seen_has_no_caller(embedded: dict[str, str], context: dict[str, Any]) -> None:
    event = http_event("GET", "/api/models", headers={"x-tenant": "acme"})
    event["requestContext"] |= context
    assert Api().handler(event, CONTEXT)["statusCode"] == 401


def test_a_foreign_id_looks_exactly_like_a_missing_one(api: Api, put: Put) -> None:
    job = _trained(api, put)
    answer = api("POST", "/api/humanize", {"text": TEXT}).body
    other, missing = Api("other"), "j" + "0" * 20

    for method in ("GET", "DELETE"):
        foreign = other(method, f"/api/training-jobs/{job['id']}")
        absent = other(method, f"/api/training-jobs/{missing}")
        assert foreign.status == absent.status == 404
        assert json.dumps(foreign.body).replace(job["id"], "ID") == json.dumps(absent.body).replace(missing, "ID")
    foreign = other("POST", "/api/feedback", {"decision_id": answer["decision_id"], "rating": 1})
    absent = other("POST", "/api/feedback", {"decision_id": "dp0", "rating": 1})
    assert foreign.status == absent.status == 404
    assert foreign.body["detail"].replace(answer["decision_id"], "ID") == absent.body["detail"].replace("dp0", "ID")
    assert api("GET", f"/api/training-jobs/{job['id']}").body["state"] == "queued"


@pytest.mark.parametrize("path", ["/api/training-data", "/api/drops", "/api/training-jobs", "/api/models"])
def test_lists_show_a_tenant_its_own_and_take_no_foreign_cursor(api: Api, put: Put, path: str) -> None:
    for number in range(3):
        _drop(put, f"drop/acme/{number}.csv", pairs(number + 1))
    other = Api("other")
    cursor = api("GET", path, query="limit=1").body["next"]

    assert other("GET", path).body == {"items": [], "next": None}
    for bad in ("x", "%00", quote("é"), "a" * 2048, *([cursor] if cursor else [])):
        assert _problem(other("GET", path, query=f"cursor={bad}"))["status"] == 422
    if cursor:
        assert len(api("GET", path, query=f"limit=100&cursor={cursor}").body["items"]) == 2


def test_the_same_list_goes_on_where_it_stopped(api: Api, put: Put) -> None:
    _drop(put, "drop/acme/a.csv", pairs(7))
    seen: list[str] = []
    query = "limit=3"

    while query:
        page = api("GET", "/api/training-data", query=query).body
        seen += [item["id"] for item in page["items"]]
        query = f"limit=3&cursor={page['next']}" if page["next"] else ""

    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=" + "a" * 2049])
def test_a_page_beyond_its_bounds_is_refused(api: Api, query: str) -> None:
    assert _problem(api("GET", "/api/drops", query=query))["status"] == 422


def test_health_tells_where_things_are_and_needs_no_key(embedded: dict[str, str]) -> None:
    reply = Api(None)("GET", "/api/system/health")

    assert reply.status == 200 and reply.body["status"] == "ok"
    assert (
        reply.body["drop_bucket"] == embedded["MILLRACE_DROP_BUCKET"] and reply.body["drop_prefix"] == "drop/<tenant>/"
    )
    assert reply.body["table"] == embedded["MILLRACE_TABLE"]
    assert reply.body["train_machine"] == embedded["MILLRACE_TRAIN_MACHINE"]


def test_health_says_what_does_not_answer(api: Api, embedded: dict[str, str]) -> None:
    from millrace import aws

    aws.dynamodb().delete_table(TableName=embedded["MILLRACE_TABLE"])
    reply = api("GET", "/api/system/health")

    assert reply.status == 503 and reply.body["dependencies"]["table"] == "does not answer"


# --- errors -----------------------------------------------------------------------------------------------------------
CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MillraceError)]
CANARY = "canary-4711-Grüße"


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_a_problem_with_its_status(
    api: Api, error: type[MillraceError], monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace.humanize import Humanizer

    def fail(*_: Any) -> None:
        raise error("In words.", "a draft", [{"kind": "number"}]) if error is errors.Unfaithful else error("In words.")

    monkeypatch.setattr(Humanizer, "humanize", fail)
    reply = api("POST", "/api/humanize", {"text": "a"})
    problem = _problem(reply)

    assert reply.status == error.status
    shown = error.status < 500 or issubclass(error, errors.Unavailable)
    assert (problem["detail"] == "In words.") == shown
    assert ("retry-after" in reply.headers) == (error.status == 503)
    if error is errors.Unfaithful:
        assert (problem["draft"], problem["violations"]) == ("a draft", [{"kind": "number"}])


@pytest.mark.parametrize("error", [RuntimeError, KeyError, RecursionError, UnicodeEncodeError])
def test_an_unexpected_error_is_a_problem_and_no_users_text_is_logged(
    api: Api, error: type[Exception], monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    from millrace.humanize import Humanizer

    def fail(_self: Any, _tenant: Any, ask: Any, _wish: Any) -> None:
        raise UnicodeEncodeError("utf-8", ask.text, 0, 1, ask.text) if error is UnicodeEncodeError else error(ask.text)

    monkeypatch.setattr(Humanizer, "humanize", fail)
    reply = api("POST", "/api/humanize", {"text": CANARY})
    told = logged()

    assert _problem(reply)["status"] == 500 and CANARY not in json.dumps(reply.body, ensure_ascii=False)
    assert error.__name__ in told, "it is logged, by its class and place"
    assert "canary-4711" not in told


def test_no_text_is_logged_on_any_way_through(api: Api, put: Put, logged: Callable[[], str]) -> None:
    answer = api("POST", "/api/humanize", {"text": f"{TEXT} {CANARY}"}).body
    api("POST", "/api/feedback", {"decision_id": answer["decision_id"], "edited_text": CANARY})
    api("POST", "/api/humanize", {"text": CANARY, "tone": CANARY})
    api("POST", "/api/humanize", f'{{"text": "{CANARY}"')
    _drop(put, "drop/acme/a.csv", f"prompt,completion\n{CANARY},other\n{CANARY}\n".encode())
    told = logged()

    assert "canary-4711" not in told


# --- the page ---------------------------------------------------------------------------------------------------------
def test_the_page_and_its_files_are_text_under_a_strict_policy(embedded: dict[str, str]) -> None:
    page = Api(None)("GET", "/")

    assert page.status == 200 and page.body.lower().startswith("<!doctype html>")
    assert page.headers["content-type"].startswith("text/html")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../app.py",
        "..%2fgateway%2fapp.py",
        "%2e%2e/gateway/app.py",
        "..%5c..%5capp.py",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "index.html%00.js",
        ".",
        "",
        "nothing.js",
        "index",
        "a" * 3000 + ".js",
    ],
)
def test_no_file_beside_the_consoles_can_be_had(embedded: dict[str, str], name: str) -> None:
    reply = Api(None)("GET", f"/console/{name}")
    assert reply.status in (404, 307) and "import" not in json.dumps(reply.body)
