"""POST /api/humanize/batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from millrace import voices
from millrace.batches import MAX_CHARACTERS, MAX_TEXTS, Outcome, distinct, humanize_all
from millrace.providers import Ask
from pydantic import BaseModel, Field

from functions.gateway.answering import humanizer
from functions.gateway.caller import Editor
from functions.gateway.once import Once
from functions.gateway.problems import problem
from functions.gateway.routers import rewrites
from functions.gateway.routers.humanize import Manner, order_of, voice_of
from functions.gateway.shapes import Answered, IdempotencyKey, Item, Response

router = APIRouter(tags=["humanize"], route_class=Once)


class Text(BaseModel):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$", examples=["mail-1"])]
    """The caller's own, one for each text."""
    text: str = Field(examples=["Moreover, it is important to note that we utilize 3 servers."])


class Batch(Manner):
    texts: list[Text] = Field(min_length=1, max_length=rewrites.MAX_TEXTS)


@router.post(
    "/api/humanize/batch",
    summary="Rewrite up to 1,000 texts; each has its own answer or its own problem",
    response_model=Answered,
    responses=rewrites.ACCEPTED,
)
def batch(request: Batch, caller: Editor, idempotency_key: IdempotencyKey = None) -> Answered | JSONResponse:
    """Up to 100 texts of 3,000 words, 600,000 characters together, are answered at once; more is a job: 202."""
    voice = voice_of(caller, request)
    asks = [(text.id, voices.ask(voice, text.text, request.strength, request.tone)) for text in request.texts]
    distinct(asks)
    if len(asks) > MAX_TEXTS or _characters(asks) > MAX_CHARACTERS or any(rewrites.long(ask.text) for _, ask in asks):
        return rewrites.accept(caller, order_of(asks, request, batch=True), idempotency_key)
    items = [_item(outcome) for outcome in humanize_all(humanizer(), caller, asks, request.model_id)]
    done = sum(item.state == "done" for item in items)
    return Answered(items=items, done=done, failed=len(items) - done)


def _characters(asks: Sequence[tuple[str, Ask]]) -> int:
    return sum(len(ask.text) for _, ask in asks)


def _item(outcome: Outcome) -> Item:
    if outcome.answer is not None:
        return Item(id=outcome.id, state="done", result=Response.model_validate(outcome.answer.to_dict()))
    assert outcome.error is not None  # noqa: S101 - an outcome is the one or the other
    return Item(id=outcome.id, state="failed", problem=problem(outcome.error))
