"""Idempotency-Key through the handler: a repeat is told what the first was, and costs nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functions.conftest import Api, Reply

BODY = {"text": "Moreover, it is important to note that we utilize 3 servers in Berlin."}
POSTS: list[tuple[str, Any]] = [
    ("/api/humanize", BODY),
    ("/api/humanize/batch", {"texts": [{"id": "a", **BODY}]}),
    ("/api/voices", {"name": "Anna", "samples": ["I don't think so, but we'll see how it goes today. " * 5] * 3}),
    ("/api/training-data", {"items": [{"source": "We utilize 3 servers.", "target": "We use 3 servers."}]}),
    ("/api/training-data/exports", {"format": "jsonl"}),
    ("/api/datasets", {"name": "digits", "domain": "vision"}),
    ("/v1/chat/completions", {"model": "rules", "messages": [{"role": "user", "content": BODY["text"]}]}),
]


@pytest.mark.parametrize(("path", "body"), POSTS)
def test_a_repeat_is_told_the_same_and_does_nothing(api: Api, path: str, body: Any) -> None:
    first = api("POST", path, body, idempotency_key="k")
    captured = len(api("GET", "/api/training-data").body["items"])
    calls = api("GET", "/api/usage").body
    again = api("POST", path, body, idempotency_key="k")

    assert (again.status, again.body) == (first.status, first.body) and first.status in (200, 201, 202)
    assert again.headers["idempotency-replayed"] == "true" and "idempotency-replayed" not in first.headers
    assert len(api("GET", "/api/training-data").body["items"]) == captured
    assert api("GET", "/api/usage").body == calls
    assert api("POST", path, body, idempotency_key="other").body != first.body


def test_a_stream_is_told_again_as_it_was(api: Api) -> None:
    first = api("POST", "/api/humanize", BODY | {"stream": True}, idempotency_key="k")
    again = api("POST", "/api/humanize", BODY | {"stream": True}, idempotency_key="k")

    assert first.body.startswith("event: paragraph") and again.body == first.body
    assert again.headers["content-type"].startswith("text/event-stream")


def test_another_request_under_the_same_key_is_refused(api: Api) -> None:
    api("POST", "/api/humanize", BODY, idempotency_key="k")

    other = api("POST", "/api/humanize", {"text": "Another text."}, idempotency_key="k")
    elsewhere = api("POST", "/v1/chat/completions", POSTS[-1][1], idempotency_key="k")

    assert other.status == 422 and "used for another request" in other.body["detail"]
    assert elsewhere.status == 422 and "error" in elsewhere.body


def test_a_form_that_is_sent_again_has_another_boundary_and_is_the_same(api: Api) -> None:
    row = json.dumps(
        {"messages": [{"role": "user", "content": "Moreover, 3."}, {"role": "assistant", "content": "3."}]}
    )

    def send(boundary: str, body: str) -> Reply:
        head = 'Content-Disposition: form-data; name="{}"'
        file = f'--{boundary}\r\n{head.format("file")}; filename="a.jsonl"\r\n\r\n{body}\r\n'
        rest = f"--{boundary}\r\n{head.format('purpose')}\r\n\r\nfine-tune\r\n--{boundary}--\r\n"
        kind = f"multipart/form-data; boundary={boundary}"
        return api("POST", "/v1/files", file + rest, content_type=kind, idempotency_key="k")

    first, again, other = send("aaaa1111", row), send("bbbb2222", row), send("cccc3333", row + "\n" + row)

    assert first.status == again.status == 200 and first.body["id"] == again.body["id"]
    assert other.status == 422 and len(api("GET", "/v1/files").body["data"]) == 1


def test_a_key_is_its_tenants_own(api: Api) -> None:
    first = api("POST", "/api/humanize", BODY, idempotency_key="k")
    other = Api("other")("POST", "/api/humanize", BODY, idempotency_key="k")

    assert other.status == 200 and other.body["decision_id"] != first.body["decision_id"]


def test_what_failed_may_be_sent_again_under_its_key(api: Api) -> None:
    assert api("POST", "/api/humanize", {"text": " "}, idempotency_key="k").status == 422
    assert api("POST", "/api/humanize", {"text": " "}, idempotency_key="k").status == 422
    assert api("POST", "/api/humanize", BODY, idempotency_key="k").status == 200
    assert Api(None)("POST", "/api/humanize", BODY, idempotency_key="k").status == 401


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    assert api("POST", "/api/humanize", BODY, idempotency_key=key).status == 422
