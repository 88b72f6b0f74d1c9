"""/api/voices: how somebody writes, from samples of their own."""

from __future__ import annotations

from fastapi import APIRouter, Response
from millrace.voices import MAX_SAMPLES, Voices
from millrace.voices import Voice as DomainVoice
from pydantic import BaseModel, Field

from functions import parts
from functions.gateway.caller import Caller, Editor
from functions.gateway.once import Once
from functions.gateway.paging import Paged
from functions.gateway.shapes import Page, settings

router = APIRouter(tags=["voices"], route_class=Once)


class Request(BaseModel):
    name: str = Field(min_length=1, max_length=80, examples=["Anna"])
    samples: list[str] = Field(
        min_length=1,
        max_length=MAX_SAMPLES,
        description="Three texts or 150 words of one's own, at most 60,000 characters. They are measured and not kept.",
    )


class Profile(BaseModel):
    words: int
    sentences: int
    sentence_words: float
    sentence_spread: float
    contractions: float
    formality: float
    person: str
    spelling: str
    connectives: list[str]
    punctuation: dict[str, float]
    edits: float


class Voice(BaseModel):
    id: str
    name: str
    profile: Profile
    tone: str
    """Of the rules, where a request names none; so is strength."""
    strength: str
    lines: str
    """What a language model is told."""
    created_at: str


def _voices() -> Voices:
    return Voices(parts.table(settings))


def _shown(voice: DomainVoice) -> Voice:
    return Voice.model_validate(voice.shown())


@router.post("/api/voices", status_code=201, summary="Make a voice card from samples of one's own writing")
def make(request: Request, caller: Editor) -> Voice:
    return _shown(_voices().make(caller, request.name, request.samples))


@router.get("/api/voices", summary="Voice cards, newest first")
def list_voices(caller: Caller, paging: Paged) -> Page[Voice]:
    found, following = _voices().page(caller, paging.limit, paging.cursor)
    return paging.page([_shown(voice) for voice in found], following)


@router.get("/api/voices/{id}", summary="One voice card")
def get(id: str, caller: Caller) -> Voice:
    return _shown(_voices().get(caller, id))


@router.delete("/api/voices/{id}", status_code=204, summary="Forget a voice card")
def delete(id: str, caller: Editor) -> Response:
    _voices().delete(caller, id)
    return Response(status_code=204)
