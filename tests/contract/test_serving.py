"""What our provider asks is what the serving container understands, and what it answers is what the provider reads."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from millrace import aws
from millrace.catalogue import Entry
from millrace.errors import Unavailable
from millrace.providers import Ask, own
from millrace.text.scores import score

from tests.millrace.test_scoring import ACME, scoring
from training_containers.serve import schema
from training_containers.serve.likelihood import Likelihood
from training_containers.serve.pool import Done

ENTRY = Entry("humanizer@1", "own", endpoint="millrace-local-acme-humanizer", instruction="Rewrite: ")
TEXT = "Moreover we utilize 3 servers."


class Runtime:
    """Answers with what it is told to, and keeps what it was asked."""

    def __init__(self, reply: bytes) -> None:
        self.reply, self.asked = reply, b""

    def invoke_endpoint(self, *, EndpointName: str, ContentType: str, Body: bytes) -> dict[str, Any]:
        assert (EndpointName, ContentType) == (ENTRY.endpoint, "application/json")
        self.asked = Body
        return {"Body": io.BytesIO(self.reply)}


def _asking(monkeypatch: pytest.MonkeyPatch, reply: bytes) -> Runtime:
    runtime = Runtime(reply)
    monkeypatch.setattr(aws, "sagemaker_runtime", lambda: runtime)
    return runtime


def _reply(text: str) -> bytes:
    return json.dumps(schema.completion("c1", 1, "humanizer", text, 9, Done("stop", 4, 0.0, 1.0))).encode()


def test_the_container_understands_the_request_and_the_provider_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = _asking(monkeypatch, _reply(" We use 3 servers. "))

    completion = own.complete(ENTRY, Ask(TEXT), 5.0)
    request = schema.parse(runtime.asked, schema.ChatRequest)

    assert (completion.text, completion.input_tokens, completion.output_tokens) == ("We use 3 servers.", 9, 4)
    assert request.timeout_s == 5.0 and request.limit and request.sampling.temperature == 0
    (message,) = schema.conversation(request, ENTRY.instruction)
    assert message["content"].count("Rewrite:") == 1 and TEXT in message["content"]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}], "usage": {}}',
    ],
)
def test_whatever_else_comes_back_is_no_answer(monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    _asking(monkeypatch, reply)
    with pytest.raises(Unavailable, match="humanizer@1"):
        own.complete(ENTRY, Ask(TEXT), 5.0)


def test_the_container_judges_the_text_that_the_use_case_sends_and_its_figures_are_read() -> None:
    """H10."""
    made, runtime = scoring(schema.score("humanizer", Likelihood(12, -2.5, 0.5, 0.25), truncated=True))

    found = made.score(ACME, "digits", TEXT)
    request = schema.parse(runtime.asked[0]["Body"], schema.ScoreRequest)

    assert schema.asks_score(runtime.asked[0]["Body"]) and (request.score, request.timeout_s) == (TEXT, 5.0)
    assert found.scores == score(TEXT) | {"mean_logprob": -2.5, "surprise_burstiness": 0.5, "token_likeness": 0.25}
    assert (found.tokens, found.truncated) == (12, True)
