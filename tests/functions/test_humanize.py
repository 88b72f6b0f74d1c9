"""Long texts, batches and voices, through the handler."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.functions.conftest import CONTEXT, Api, http_event
from tests.millrace.test_humanize import CODE, INJECTION, TABLE, paragraph
from tests.millrace.test_voices import CHATTY, FORMAL

TEXT = "Moreover, it is important to note that we utilize 3 servers in Berlin. We do not know why it is late."


def test_a_text_of_three_thousand_words_is_answered_with_every_fact_and_corrected(api: Api) -> None:
    text = "\n\n".join([CODE, TABLE, *(paragraph(n % 8 + 1) for n in range(54))])
    assert 2_800 < len(text.split()) <= 3_000

    reply = api("POST", "/api/humanize", {"text": text})

    assert reply.status == 200 and CODE in reply.body["text"] and TABLE in reply.body["text"]
    assert reply.body["text"].count("Anna Berg") == 54 and reply.body["text"] != text
    told = {"decision_id": reply.body["decision_id"], "edited_text": reply.body["text"] + "\n\nThe end."}
    assert api("POST", "/api/feedback", told).status == 200


def test_a_text_over_the_limit_is_told_the_limit(api: Api) -> None:
    problem = api("POST", "/api/humanize", {"text": "x" * 5_000_001})
    assert problem.status == 413 and "5,000,001 bytes; at most 5,000,000" in problem.body["detail"]


@pytest.mark.parametrize(
    "text", ["Hello", "🎉👩‍👩‍👧", "مرحبا بالعالم، لدينا 3 خوادم.", CODE, INJECTION, "\u0000 a", "\ufeffword", "‮abc"]
)
def test_odd_texts_are_answered_and_keep_what_they_are(api: Api, text: str) -> None:
    reply = api("POST", "/api/humanize", {"text": text})
    assert reply.status == 200 and reply.body["text"].strip()
    if text != INJECTION:
        assert reply.body["text"] == text


@pytest.mark.parametrize("path", ["/api/humanize", "/api/humanize/batch", "/api/voices"])
@pytest.mark.parametrize("body", [b'{"text": "\xff\xfe"}', b"\xff", b'{"text": "a', b"[]", b""])
def test_bytes_that_are_no_request_are_refused_in_words(api: Api, path: str, body: bytes) -> None:
    caller = {"tenant": "acme", "tier": "ENTERPRISE", "roles": "editor"}
    event = http_event("POST", path, base64.b64encode(body).decode(), caller=caller) | {"isBase64Encoded": True}

    reply = api.handler(event, CONTEXT)

    assert reply["statusCode"] in (400, 422) and "problem+json" in reply["headers"]["content-type"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"strength": "very"}, "strength"),
        ({"text": None}, "text"),
        ({"voice_id": ""}, "voice_id"),
        ({"stream": 7}, "st"),
    ],
)
def test_a_wrong_field_is_told_by_its_name_as_every_route_tells_it(api: Api, wrong: dict[str, Any], field: str) -> None:
    one = api("POST", "/api/humanize", {"text": TEXT} | wrong)
    assert one.status == 422 and one.body["detail"].startswith(field) and " should " in one.body["detail"]


def test_a_batch_answers_each_text_or_says_why_not(api: Api) -> None:
    texts = [{"id": f"t{n}", "text": paragraph(n)} for n in range(1, 9)]
    texts += [{"id": "empty", "text": ""}, {"id": "odd", "text": "\ud800"}]

    reply = api("POST", "/api/humanize/batch", {"texts": texts, "tone": "formal"})

    assert reply.status == 200 and (reply.body["done"], reply.body["failed"]) == (8, 2)
    items = {item["id"]: item for item in reply.body["items"]}
    assert list(items) == [text["id"] for text in texts]
    assert items["t3"]["state"] == "done" and items["t3"]["problem"] is None
    assert "hall 3" in items["t3"]["result"]["text"] and items["t3"]["result"]["decision_id"]
    problems = {id: items[id]["problem"] for id in ("empty", "odd")}
    assert [problem["status"] for problem in problems.values()] == [422, 422]
    assert all(items[id]["state"] == "failed" and items[id]["result"] is None for id in problems)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"texts": []}, 422, "texts"),
        ({"texts": [{"id": "a", "text": "x"}] * 2}, 422, "'a' stands twice"),
        ({"texts": [{"id": f"t{n}", "text": "x"} for n in range(1001)]}, 422, "texts"),
        ({"texts": [{"id": "a\ud800", "text": "x"}]}, 422, "id"),
        ({"texts": [{"id": str(n), "text": "x" * 60_000} for n in range(84)]}, 413, "at most 5,000,000"),
        ({"texts": [{"id": "a", "text": "\ud800 " * 3_001}]}, 422, "'a' holds an unpaired surrogate"),
        ({"texts": [{"id": "a", "text": "x"}], "voice_id": "vc0"}, 404, "There is no voice"),
    ],
)
def test_a_batch_that_is_none_is_a_problem_as_a_whole(api: Api, body: Any, status: int, says: str) -> None:
    reply = api("POST", "/api/humanize/batch", body)
    assert reply.status == status and says in reply.body["detail"]


def _voice(api: Api, samples: tuple[str, ...] = CHATTY) -> dict[str, Any]:
    reply = api("POST", "/api/voices", {"name": "Anna", "samples": list(samples)})
    assert reply.status == 201, reply.body
    voice: dict[str, Any] = reply.body
    return voice


def test_a_voice_is_made_found_listed_and_forgotten(api: Api) -> None:
    made = _voice(api)

    assert made["tone"] == "warm" and made["profile"]["contractions"] == 1.0 and made["lines"]
    assert api("GET", f"/api/voices/{made['id']}").body == made
    assert api("GET", "/api/voices").body == {"items": [made], "next": None}
    assert api("DELETE", f"/api/voices/{made['id']}").status == 204
    assert api("GET", f"/api/voices/{made['id']}").status == 404
    assert api("DELETE", f"/api/voices/{made['id']}").status == 404


def test_a_text_is_written_in_the_voice_that_is_named(api: Api) -> None:
    chatty, formal = _voice(api), _voice(api, FORMAL)

    def written(**more: str) -> str:
        return str(api("POST", "/api/humanize", {"text": TEXT, "model_id": "rules", **more}).body["text"])

    assert "don't" in written(voice_id=chatty["id"]) and "do not" in written(voice_id=formal["id"])
    assert "do not" in written(voice_id=chatty["id"], tone="formal")
    texts = [{"id": "a", "text": TEXT}]
    (item,) = api("POST", "/api/humanize/batch", {"texts": texts, "voice_id": chatty["id"]}).body["items"]
    assert "don't" in item["result"]["text"]


def test_another_tenants_voice_looks_like_a_missing_one(api: Api) -> None:
    made = _voice(api)
    other = Api("other")

    foreign = other("POST", "/api/humanize", {"text": TEXT, "voice_id": made["id"]})

    assert foreign.status == 404 and foreign.body["detail"] == f"There is no voice '{made['id']}'."
    assert other("GET", f"/api/voices/{made['id']}").status == 404
    assert other("DELETE", f"/api/voices/{made['id']}").status == 404
    assert api("GET", f"/api/voices/{made['id']}").status == 200


def test_who_may_only_read_makes_and_forgets_no_voice(api: Api) -> None:
    made = _voice(api)
    reader = Api(roles="reader")

    assert reader("POST", "/api/voices", {"name": "A", "samples": list(CHATTY)}).status == 403
    assert reader("DELETE", f"/api/voices/{made['id']}").status == 403
    assert reader("POST", "/api/humanize/batch", {"texts": [{"id": "a", "text": TEXT}]}).status == 403
    assert reader("GET", "/api/voices").status == 200


def test_samples_that_show_too_little_are_refused_in_words(api: Api) -> None:
    reply = api("POST", "/api/voices", {"name": "Anna", "samples": ["Hello there."]})
    assert reply.status == 422 and "Send 3 texts or 150 words" in reply.body["detail"]
