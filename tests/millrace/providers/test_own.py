"""An endpoint of ours: SageMaker's runtime is a fake that plays."""

from __future__ import annotations

import io
import json
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from millrace import aws
from millrace.catalogue import Entry
from millrace.errors import Unavailable
from millrace.providers import Ask, CutOff, Message, Talk, own
from millrace.providers.reach import Reach

ENTRY = Entry("clear@3", "own", endpoint="e-clear", instruction="Rewrite it.")
TEXT = "We leverage 42 synergies."


class Runtime:
    def __init__(self, reply: Any) -> None:
        self.reply, self.asked = reply, list[dict[str, Any]]()

    def invoke_endpoint(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments)
        if isinstance(self.reply, Exception):
            raise self.reply
        if callable(self.reply):
            self.reply()
        body = self.reply if isinstance(self.reply, bytes) else json.dumps(self.reply).encode()
        return {"Body": io.BytesIO(body)}


def _play(monkeypatch: pytest.MonkeyPatch, reply: Any) -> Runtime:
    runtime = Runtime(reply)
    monkeypatch.setattr(aws, "sagemaker_runtime", lambda: runtime)
    return runtime


def _reply(content: Any, finish: str = "stop", **usage: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, "finish_reason": finish}], "usage": usage}


def test_it_is_asked_with_its_own_instruction_and_answers_with_its_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = _play(monkeypatch, _reply(" We use 42. ", prompt_tokens=12, completion_tokens=6))

    done = own.complete(ENTRY, Ask(TEXT), 5.0)

    assert (done.text, done.input_tokens, done.output_tokens, done.flags) == ("We use 42.", 12, 6, ())
    sent = json.loads(runtime.asked[0]["Body"])
    assert sent["messages"] == [{"role": "user", "content": f"Rewrite it.\n\n{TEXT}"}] and sent["timeout_s"] == 5.0


def test_a_conversation_is_answered_whole_and_a_stream_is_one_piece(
    monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    runtime = _play(monkeypatch, _reply("Good day.", prompt_tokens=9, completion_tokens=3))
    talk = Talk((Message("user", "Hello"),), stop=("END",))

    whole = own.chat(ENTRY, talk, 5.0, reach)
    assert list(own.stream(ENTRY, talk, 5.0, reach)) == ["Good day.", whole]
    assert json.loads(runtime.asked[0]["Body"])["stop"] == ["END"]


@pytest.mark.parametrize(
    "reply",
    [
        b"not json",
        b"",
        {"choices": []},
        {"error": "x"},
        [],
        _reply(None),
        _reply("We use", "length"),
        ReadTimeoutError(endpoint_url="https://x"),
        ClientError({"Error": {"Code": "ValidationError", "Message": "no endpoint"}}, "InvokeEndpoint"),
        ClientError({"Error": {"Code": "ThrottlingException"}}, "InvokeEndpoint"),
        ClientError({"Error": {"Code": "ModelError"}, "ResponseMetadata": {"HTTPStatusCode": 424}}, "InvokeEndpoint"),
    ],
)
def test_whatever_goes_wrong_is_unavailable(monkeypatch: pytest.MonkeyPatch, reply: Any) -> None:
    _play(monkeypatch, reply)

    with pytest.raises(Unavailable):
        own.complete(ENTRY, Ask(TEXT), 5.0)


def test_a_rewrite_that_was_cut_off_says_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """H7."""
    _play(monkeypatch, _reply("We use", "length", prompt_tokens=9, completion_tokens=3))

    with pytest.raises(CutOff) as cut:
        own.complete(ENTRY, Ask(TEXT), 5.0)
    assert (cut.value.completion.input_tokens, cut.value.completion.output_tokens) == (9, 3)


def test_an_endpoint_that_hangs_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    _play(monkeypatch, lambda: released.wait(20))
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable, match="did not answer"):
            own.complete(ENTRY, Ask(TEXT), 0.3)
        assert time.monotonic() - began < 1.5
    finally:
        released.set()
