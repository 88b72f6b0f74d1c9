"""OpenAI's chat completions: the part of the request that is understood, and the replies."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, ClassVar, Literal, TypeVar

from millrace.errors import InvalidInput
from millrace.text.prompt import user_message
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .likelihood import Likelihood
from .llama import Sampling
from .pool import Done


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    def plain(self) -> dict[str, str]:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """Unknown fields are ignored, as OpenAI's clients add them; what would change the answer is refused."""

    model_config = ConfigDict(extra="ignore")

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Absent is 0 here: a rewrite should be the same twice."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    timeout_s: float | None = Field(default=None, gt=0)
    """Ours: how long the caller will wait; the server's own limit holds too."""
    n: Literal[1] | None = None
    tools: None = None
    logprobs: Literal[False] | None = None

    @field_validator("stop")
    @classmethod
    def _few(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if isinstance(stop, list) and len(stop) > 4:
            raise ValueError("at most 4 stop strings")
        return stop

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature or 0.0, self.top_p or 1.0, (self.seed or 0) & 0xFFFFFFFF)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ScoreRequest(BaseModel):
    """Ours: a text whose likelihood is asked for."""

    model_config = ConfigDict(extra="ignore")

    score: str = Field(min_length=1)
    timeout_s: float | None = Field(default=None, gt=0)
    stream: ClassVar[bool] = False


def asks_score(body: bytes) -> bool:
    """Whether a body is a ScoreRequest: inside a JSON string no quotation mark stands bare."""
    return b'"score"' in body and b'"messages"' not in body


Asked = TypeVar("Asked", ChatRequest, ScoreRequest)


def parse(body: bytes, asked: type[Asked]) -> Asked:
    """The request, or InvalidInput naming the field; never its content."""
    try:
        return asked.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise InvalidInput(f"{where}: {first['msg']}.") from None


def conversation(request: ChatRequest, instruction: str) -> list[dict[str, str]]:
    """The messages as the model was trained on them: its instruction stands before the last user message, once."""
    plain = [message.plain() for message in request.messages]
    for message in reversed(plain):
        if message["role"] == "user":
            if instruction and not message["content"].startswith(instruction):
                message["content"] = user_message(message["content"], instruction)
            break
    return plain


def usage(prompt_tokens: int, done: Done) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "total_tokens": prompt_tokens + done.completion_tokens,
    }


def timings(done: Done) -> dict[str, float]:
    return {
        "queue_ms": round(done.queue_ms, 3),
        "predicted_ms": round(done.predicted_ms, 3),
        "tokens_per_s": round(done.tokens_per_s, 2),
    }


def completion(id: str, created: int, model: str, text: str, prompt_tokens: int, done: Done) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "finish_reason": done.finish_reason,
        "logprobs": None,
    }
    return {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage(prompt_tokens, done),
        "timings": timings(done),
    }


def chunk(id: str, created: int, model: str, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return {"id": id, "object": "chat.completion.chunk", "created": created, "model": model, "choices": [choice]}


def score(model: str, found: Likelihood, truncated: bool) -> dict[str, Any]:
    """`truncated`: the context is full, and the text may go on."""
    return {"object": "text.likelihood", "model": model, "truncated": truncated, **asdict(found)}


def event(data: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error(sentence: str, code: str, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    return {"error": {"message": sentence, "type": kind, "code": code, "param": None}}
