"""Jobs through the handlers: 202, the queue, the function that works on them, progress and the result."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from millrace import aws
from millrace.rewrites import TRIES
from millrace.text.faithfulness import verify

from tests.functions.conftest import CONTEXT, Api
from tests.millrace.test_humanize import CODE, paragraph

VIOLATION = {"kind": "number", "before": "3 halls", "after": "4 halls"}
LONG = "\n\n".join([CODE, *(paragraph(n % 9 + 1) for n in range(80))])


def delivered(embedded: dict[str, str], received: int = 1) -> dict[str, Any]:
    """The queue's waiting messages, as the event source mapping hands them over."""
    url = embedded["MILLRACE_REWRITE_QUEUE"]
    records = []
    for message in aws.sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        aws.sqs().delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        attributes = {"ApproximateReceiveCount": str(received)}
        records.append({"messageId": message["MessageId"], "receiptHandle": "h", "body": message["Body"]})
        records[-1] |= {"attributes": attributes, "messageAttributes": {}, "md5OfBody": "", "awsRegion": "us-east-1"}
        records[-1] |= {"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:rewrites"}
    return {"Records": records}


@pytest.fixture
def work(embedded: dict[str, str]) -> Any:
    from functions.rewrite.handler import handler

    def work(received: int = 1) -> Any:
        event = delivered(embedded, received)
        assert event["Records"]
        return handler(event, CONTEXT)

    return work


def test_a_long_text_is_a_job_with_an_address_progress_and_a_result(api: Api, work: Any) -> None:
    reply = api("POST", "/api/humanize", {"text": LONG, "model_id": "rules"})

    assert reply.status == 202 and reply.headers["location"] == f"/api/humanize/jobs/{reply.body['id']}"
    assert (reply.body["state"], reply.body["progress"]["step"]) == ("pending", 0)
    assert api("GET", reply.headers["location"]).body["result"] is None
    assert work() == {"batchItemFailures": []}

    job = api("GET", reply.headers["location"]).body
    assert job["state"] == "completed" and job["progress"]["step"] == job["progress"]["steps"] >= 80
    told = job["result"]
    assert verify(LONG, told["text"]) == [] and CODE in told["text"] and told["text"] != LONG
    assert told["model_id"] == "rules" and told["decisions"] and told["decision_id"] == told["decisions"][0]
    assert requests.get(job["result_url"], timeout=10).json() == told
    assert [item["id"] for item in api("GET", "/api/humanize/jobs").body["items"]] == [job["id"]]


def test_a_section_of_a_long_text_can_be_corrected(api: Api, work: Any) -> None:
    location = api("POST", "/api/humanize", {"text": LONG, "model_id": "rules"}).headers["location"]
    work()

    decision = api("GET", location).body["result"]["decisions"][-1]
    told = {"decision_id": decision, "rating": 5}
    assert api("POST", "/api/feedback", told).status == 200


def test_another_tenants_job_looks_like_a_missing_one(api: Api) -> None:
    location = api("POST", "/api/humanize", {"text": LONG}).headers["location"]

    foreign = Api("other")("GET", location)
    assert foreign.status == 404 and foreign.body["detail"].startswith("There is no rewrite")
    assert Api("other")("GET", "/api/humanize/jobs").body["items"] == []


def test_a_cancelled_job_is_not_worked_on_and_one_that_ended_cannot_be_cancelled(api: Api, work: Any) -> None:
    body = {"text": LONG, "model_id": "rules"}
    off, on = (api("POST", "/api/humanize", body).headers["location"] for _ in range(2))
    assert Api("other")("DELETE", off).status == 404 and api("DELETE", "/api/humanize/jobs/rw-none").status == 404

    first, again = api("DELETE", off), api("DELETE", off)
    assert (first.status, again.status) == (200, 200) and first.body == again.body
    assert work() == {"batchItemFailures": []}

    told = api("GET", off).body
    assert (told["state"], told["progress"]["step"], told["result"]) == ("cancelled", 0, None)
    late = api("DELETE", on)
    assert late.status == 409 and "completed" in late.body["detail"]
    assert api("GET", on).body["state"] == "completed"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": LONG, "model_id": "nobody"}, 404),
        ({"text": LONG, "voice_id": "vc0"}, 404),
        ({"text": " " * 99_999}, 422),
    ],
)
def test_what_could_never_be_granted_is_no_job(api: Api, body: Any, status: int, embedded: dict[str, str]) -> None:
    assert api("POST", "/api/humanize", body).status == status
    assert delivered(embedded)["Records"] == [] == api("GET", "/api/humanize/jobs").body["items"]


@pytest.mark.parametrize(
    "texts",
    [
        [f"Moreover, we utilize {n} servers." for n in range(101)],
        [LONG, "Moreover, we utilize 3 servers."],
        ["```\n" + "x = 1\n" * 2_000 + "```\n\nMoreover, we utilize 3 servers."] * 51,
    ],
)
def test_a_big_batch_is_a_job_with_an_item_for_each_text(api: Api, work: Any, texts: list[str]) -> None:
    named = [{"id": f"t{n}", "text": text} for n, text in enumerate([*texts, ""])]
    reply = api("POST", "/api/humanize/batch", {"texts": named, "model_id": "rules"})
    assert reply.status == 202 and reply.body["batch"] and reply.body["texts"] == len(named)
    work()

    job = api("GET", reply.headers["location"]).body
    assert job["state"] == "completed"
    told = requests.get(job["result_url"], timeout=10).json()
    assert (told["done"], told["failed"]) == (len(texts), 1)
    assert [item["id"] for item in told["items"]] == [text["id"] for text in named]
    assert told["items"][-1]["problem"]["status"] == 422
    for text, item in zip(texts, told["items"], strict=False):
        assert verify(text, item["result"]["text"]) == []
    if job["result"] is not None:
        assert job["result"]["done"] == len(texts) and job["result"]["items"][-1]["problem"]["status"] == 422


def test_a_job_whose_work_breaks_off_again_and_again_is_told_failed(api: Api, work: Any) -> None:
    location = api("POST", "/api/humanize", {"text": LONG}).headers["location"]

    assert work(TRIES + 1) == {"batchItemFailures": []}

    job = api("GET", location).body
    assert job["state"] == "failed" and "broke off" in job["error"] and job["result"] is None
    assert job["problem"]["type"] == "/problems/unavailable" and job["problem"]["detail"] == job["error"]


@pytest.mark.parametrize(
    ("draft", "inline"), [("We use 4 halls. " * 1_000, True), ("We use 4 halls. " * 20_000, False)]
)
def test_a_named_models_unfaithful_long_text_is_told_with_its_draft(
    api: Api, work: Any, monkeypatch: pytest.MonkeyPatch, draft: str, inline: bool
) -> None:
    """H1: as a short one is."""
    from millrace.errors import Unfaithful
    from millrace.humanize import Humanizer

    def lies(*_: Any) -> Any:
        raise Unfaithful("m answered, but its rewrite did not keep: number.", draft, [VIOLATION])

    location = api("POST", "/api/humanize", {"text": LONG, "model_id": "rules"}).headers["location"]
    monkeypatch.setattr(Humanizer, "humanize", lies)
    work()

    job = api("GET", location).body
    whole = requests.get(job["problem_url"], timeout=10).json()
    assert (job["state"], job["result"]) == ("failed", None) and "did not keep" in job["error"]
    assert (whole["status"], whole["violations"]) == (422, [VIOLATION]) and draft in whole["draft"]
    assert job["problem"] == (whole if inline else None)


def test_work_that_fails_for_now_comes_back_alone(api: Api, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace.errors import Unavailable
    from millrace.rewriting import Rewriting

    def fails(*_: Any) -> str:
        raise Unavailable("not now")

    api("POST", "/api/humanize", {"text": LONG})
    monkeypatch.setattr(Rewriting, "work", fails)

    assert len(work()["batchItemFailures"]) == 1


def test_the_same_long_text_under_one_key_is_one_job(api: Api, embedded: dict[str, str]) -> None:
    body = {"text": LONG}
    first = api("POST", "/api/humanize", body, idempotency_key="k1")
    again = api("POST", "/api/humanize", body, idempotency_key="k1")

    assert first.status == again.status == 202 and first.body["id"] == again.body["id"]
    assert again.headers["location"] == first.headers["location"] and again.headers["idempotency-replayed"] == "true"
    assert len(delivered(embedded)["Records"]) == 1
    assert api("POST", "/api/humanize", body, idempotency_key="k2").body["id"] != first.body["id"]
