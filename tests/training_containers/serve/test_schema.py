"""What is understood of OpenAI's request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from millrace.errors import InvalidInput

from training_containers.serve import schema
from training_containers.serve.llama import Sampling
from training_containers.serve.pool import Done


def parsed(**fields: Any) -> schema.ChatRequest:
    return schema.parse(
        json.dumps({"messages": [{"role": "user", "content": "Hi"}]} | fields).encode(), schema.ChatRequest
    )


def test_without_a_temperature_the_answer_is_greedy() -> None:
    assert parsed().sampling == Sampling(0.0, 1.0, 0)
    assert parsed(temperature=0.7, top_p=0.9, seed=-1).sampling == Sampling(0.7, 0.9, 0xFFFFFFFF)


def test_both_names_of_the_limit_are_known() -> None:
    assert parsed(max_tokens=5).limit == parsed(max_completion_tokens=5).limit == 5
    assert parsed().limit is None


def test_parts_of_text_are_one_text_and_a_developer_is_the_system() -> None:
    parts = [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two."}]

    request = parsed(messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}])

    assert schema.conversation(request, "") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One. Two."},
    ]


def test_the_instruction_stands_before_the_last_user_message_once() -> None:
    fresh = schema.conversation(parsed(), "Rewrite.")
    again = schema.conversation(parsed(messages=fresh), "Rewrite.")

    assert fresh == again == [{"role": "user", "content": "Rewrite.\n\nHi"}]


def test_unknown_fields_are_ignored() -> None:
    assert parsed(user="me", metadata={"a": 1}, parallel_tool_calls=True).messages[0].role == "user"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"messages\.0\.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, r"messages\.0\.content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 9}, "temperature"),
        ({"n": 2}, r"n: Input should be 1"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"stop": ["a"] * 5}, "at most 4 stop strings"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parsed(**fields)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"messages": "\xff"}', b"[" * 5000])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        schema.parse(body, schema.ChatRequest)


def test_a_refusal_never_repeats_the_text() -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(messages=[{"role": "user", "content": {"secret": "canary"}}])

    assert "canary" not in str(refused.value)


def test_usage_adds_up() -> None:
    assert schema.usage(7, Done("stop", 5, 0, 1)) == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
