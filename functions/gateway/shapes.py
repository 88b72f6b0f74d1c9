"""Shapes that several routes share."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Header
from millrace.settings import Gateway
from pydantic import BaseModel

from functions.gateway.problems import Problem

settings = Gateway.from_env()

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """Newest first; `next` is the cursor of the page after this one."""

    items: list[T]
    next: str | None = None


class Reason(BaseModel):
    code: str
    text: str


Figures = dict[str, Any]


class Usage(BaseModel):
    input_tokens: int
    output_tokens: int
    cost_usd: float


class Violation(BaseModel):
    kind: str
    before: str
    after: str


class Scores(BaseModel):
    before: dict[str, float]
    after: dict[str, float]


class Complexity(BaseModel):
    score: float
    """In [0, 1]; with the tier it says what quality a text is owed."""
    parts: dict[str, float]
    """length, structure, terminology, risk and markup, each in [0, 1]."""


class Response(BaseModel):
    """A rewrite."""

    text: str
    model_id: str
    decision_id: str
    reasons: list[Reason]
    complexity: Complexity | None = None
    """Of the text that came in; not in the result of a job from before it was told."""
    scores: Scores
    violations: list[Violation]
    usage: Usage
    latency_ms: float


class LongResponse(Response):
    """A rewrite in sections, each its own decision."""

    decisions: list[str]


class Item(BaseModel):
    id: str
    state: Literal["done", "failed"]
    result: LongResponse | Response | None = None
    problem: Problem | None = None


class Answered(BaseModel):
    """In the order of the request."""

    items: list[Item]
    done: int
    failed: int


IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="A repeat of the same request under this key is told what the first was.",
    ),
]
