"""A model of ours behind a SageMaker endpoint, spoken to in OpenAI's chat shape. AWS: SageMaker, its runtime.

Source: training_containers/serve, which answers /invocations with a chat.completion.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from .. import aws
from ..catalogue import Entry
from ..deadlines import in_time
from ..errors import MillraceError, Unavailable
from ..text.prompt import user_message
from . import Ask, Completion, CutOff, Health, Message, Talk
from .counting import counted, estimate

if TYPE_CHECKING:
    from .reach import Reach


def complete(entry: Entry, ask: Ask, timeout_s: float) -> Completion:
    prompt = user_message(ask.text, entry.instruction)
    limit = 64 + 2 * estimate(ask.text)
    completion = _invoke(entry, Talk((Message("user", prompt),), limit, 0.0), timeout_s)
    if completion.finish == "length":
        raise CutOff(entry, completion)
    return completion


def chat(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Completion:
    return _invoke(entry, talk, timeout_s)


def stream(entry: Entry, talk: Talk, timeout_s: float, reach: Reach) -> Iterator[str | Completion]:
    """One piece: InvokeEndpoint answers whole."""
    completion = _invoke(entry, talk, timeout_s)
    yield completion.text
    yield completion


def health(entry: Entry, timeout_s: float, reach: Reach) -> Health:
    began = time.monotonic()
    try:
        with aws.mapped(f"Describing {entry.endpoint}"):
            state = aws.sagemaker().describe_endpoint(EndpointName=entry.endpoint or "")["EndpointStatus"]
        ok, text = state == "InService", f"The endpoint of {entry.id} is {state}."
    except MillraceError as error:
        ok, text = False, str(error)
    return Health(ok, text, round((time.monotonic() - began) * 1000, 1))


def _invoke(entry: Entry, talk: Talk, timeout_s: float) -> Completion:
    body: dict[str, Any] = {
        "messages": [{"role": m.role, "content": m.content} for m in talk.messages],
        "temperature": talk.temperature or 0,
        "timeout_s": timeout_s,
    }
    if talk.max_tokens:
        body["max_tokens"] = talk.max_tokens
    if talk.stop:
        body["stop"] = list(talk.stop)
    try:
        # boto's timeouts are per read and per client; the deadline is this call's.
        reply = in_time(lambda: _call(entry, orjson.dumps(body)), timeout_s)
        choice, usage = reply["choices"][0], reply.get("usage") or {}
        text, finish = choice["message"]["content"], choice.get("finish_reason")
        if not isinstance(text, str):
            raise TypeError("no text")
    except TimeoutError as error:
        raise Unavailable(f"{entry.id} did not answer within {timeout_s:.1f} s.") from error
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Unavailable(f"{entry.id} answered something that is not a chat completion.") from error
    except Unavailable:
        raise
    except MillraceError as error:
        # A missing endpoint or a container's own refusal: for this request the model is not there.
        raise Unavailable(str(error)) from error
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return counted(entry, talk, text.strip(), *counts, finish="length" if finish == "length" else "stop")


def _call(entry: Entry, body: bytes) -> Any:
    with aws.mapped(f"Asking {entry.id}"):
        answer = aws.sagemaker_runtime().invoke_endpoint(
            EndpointName=entry.endpoint or "", ContentType="application/json", Body=body
        )
        return orjson.loads(answer["Body"].read())
