"""A model of ours behind a SageMaker endpoint, spoken to in OpenAI's chat shape. AWS: SageMaker runtime.

Source: training_containers/serve, which answers /invocations with a chat.completion.
"""

from __future__ import annotations

import orjson

from .. import aws
from ..catalogue import Entry
from ..errors import MillraceError, Unavailable
from ..text.prompt import user_message
from . import Ask, Completion


def complete(entry: Entry, ask: Ask, timeout_s: float) -> Completion:
    body = {
        "messages": [{"role": "user", "content": user_message(ask.text, entry.instruction)}],
        "temperature": 0,
        "max_tokens": 64 + 2 * len(ask.text.split()) * 2,
        "timeout_s": timeout_s,
    }
    try:
        with aws.mapped(f"Asking {entry.id}"):
            answer = aws.sagemaker_runtime().invoke_endpoint(
                EndpointName=entry.endpoint or "", ContentType="application/json", Body=orjson.dumps(body)
            )
            reply = orjson.loads(answer["Body"].read())
        return Completion(
            text=str(reply["choices"][0]["message"]["content"]).strip(),
            input_tokens=int(reply["usage"]["prompt_tokens"]),
            output_tokens=int(reply["usage"]["completion_tokens"]),
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        raise Unavailable(f"{entry.id} answered something that is not a chat completion.") from error
    except Unavailable:
        raise
    except MillraceError as error:
        # A missing endpoint or a container's own refusal: for this request the model is not there.
        raise Unavailable(str(error)) from error
