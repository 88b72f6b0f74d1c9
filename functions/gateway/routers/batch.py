"""POST /api/humanize/batch."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from millrace import voices
from millrace.batches import MAX_TEXTS, Outcome, humanize_all
from pydantic import BaseModel, Field

from functions.gateway.answering import humanizer
from functions.gateway.caller import Editor
from functions.gateway.problems import Problem, problem
from functions.gateway.routers.humanize import Manner, Response, voice_of

router = APIRouter(tags=["humanize"])


class Text(BaseModel):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$", examples=["mail-1"])]
    """The caller's own, one for each text."""
    text: str = Field(examples=["Moreover, it is important to note that we utilize 3 servers."])


class Batch(Manner):
    texts: list[Text] = Field(min_length=1, max_length=MAX_TEXTS)


class Item(BaseModel):
    id: str
    state: Literal["done", "failed"]
    result: Response | None = None
    problem: Problem | None = None


class Answered(BaseModel):
    """In the order of the request."""

    items: list[Item]
    done: int
    failed: int


@router.post("/api/humanize/batch", summary="Rewrite up to 100 texts; each has its own answer or its own problem")
def batch(request: Batch, caller: Editor) -> Answered:
    voice = voice_of(caller, request)
    asks = [(text.id, voices.ask(voice, text.text, request.strength, request.tone)) for text in request.texts]
    items = [_item(outcome) for outcome in humanize_all(humanizer(), caller, asks, request.model_id)]
    done = sum(item.state == "done" for item in items)
    return Answered(items=items, done=done, failed=len(items) - done)


def _item(outcome: Outcome) -> Item:
    if outcome.answer is not None:
        return Item(id=outcome.id, state="done", result=Response.model_validate(outcome.answer.to_dict()))
    assert outcome.error is not None  # noqa: S101 - an outcome is the one or the other
    return Item(id=outcome.id, state="failed", problem=problem(outcome.error))
