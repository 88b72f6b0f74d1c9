"""Shapes that several routes share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from millrace.settings import Gateway
from pydantic import BaseModel

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
