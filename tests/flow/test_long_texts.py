"""Long texts and streams on the real stack: the queue's function, and the server that streams, behind one address."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import openai
import pytest
from millrace.text.faithfulness import verify

from tests.flow.turning import Turning, until
from tests.millrace.test_humanize import paragraph

pytestmark = pytest.mark.twin
TEXT = "\n\n".join(paragraph(n) for n in range(1, 9))


def test_a_text_of_twenty_thousand_words_is_rewritten_by_the_queues_function(turning: Turning) -> None:
    """H12."""
    text = "\n\n".join(paragraph(n) for n in range(1, 400))

    job = turning.api.post("/api/humanize", {"text": text, "model_id": "rules"})
    assert job["state"] == "pending" and len(text.split()) > 19_000

    def ended() -> Any:
        found = turning.api.get(f"/api/humanize/jobs/{job['id']}")
        return found if found["state"] in ("completed", "failed") else None

    done = until(ended, "the end of the rewrite", within_s=120)
    assert done["state"] == "completed", done
    with urllib.request.urlopen(done["result_url"]) as reply:
        told = json.loads(reply.read())
    assert verify(text, told["text"]) == [] and told["text"] != text


def test_openais_own_client_reads_a_stream_from_the_function_that_streams(turning: Turning) -> None:
    """H12, H13."""
    client = openai.OpenAI(api_key=turning.api.key, base_url=f"{turning.twin.api_url}/v1", max_retries=0)

    chunks = list(
        client.chat.completions.create(model="rules", messages=[{"role": "user", "content": TEXT}], stream=True)
    )

    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(said) >= 8 and verify(TEXT, "".join(said)) == []
    assert chunks[-1].choices[0].finish_reason == "stop"
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key="mr_wrong").chat.completions.create(
            model="rules", messages=[{"role": "user", "content": TEXT}], stream=True
        )


def test_a_stream_of_events_ends_with_scores_usage_and_decision(turning: Turning) -> None:
    body = json.dumps({"text": TEXT}).encode()
    headers = {"content-type": "application/json", "accept": "text/event-stream", "x-api-key": turning.api.key}
    request = urllib.request.Request(f"{turning.twin.api_url}/api/humanize", body, headers)

    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.headers["transfer-encoding"] == "chunked"
        events = reply.read().decode().strip().split("\n\n")

    assert [event.split("\n")[0] for event in events[:-1]] == ["event: paragraph"] * (len(events) - 1)
    last = json.loads(events[-1].split("\n")[1].removeprefix("data: "))
    assert events[-1].startswith("event: answer") and {"scores", "usage", "decision_id"} <= last.keys()
