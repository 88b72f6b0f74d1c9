"""The gateway's application: one router a resource, one place where errors become problems.

A request needs the resources of one street and no more, so each street is an application of its own, made at its first
request: a cold start pays for what it is asked. The whole, with every router, is what describes the API.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from functions import parts  # noqa: F401 - needed in every street, as what follows: loaded while the function starts
from functions.gateway import caller, problems, shapes  # noqa: F401

STREETS: dict[str, tuple[str, ...]] = {
    "/api/humanize": ("humanize", "batch", "rewrites"),
    "/api/voices": ("voices",),
    "/api/feedback": ("feedback",),
    "/v1/files": ("fine_tuning",),
    "/v1/fine_tuning": ("fine_tuning",),
    "/api/training-data": ("training_data",),
    "/api/policies": ("policies",),
    "/api/training-jobs": ("training_jobs",),
    "/api/jobs": ("training_jobs",),
    "/api/models": ("available", "classify", "score", "models", "replays"),  # available before {id}, its name is one
    "/api/routing": ("routing_state",),
    "/api/usage": ("usage",),
    "/v1/chat": ("openai",),
    "/v1/models": ("openai",),
    "/api/drops": ("drops",),
    "/api/datasets": ("datasets",),
    "/api/strategies": ("strategies",),
    "/api/me": ("system",),
    "/api/system": ("system",),
    "/": ("console",),
}
"""The first two parts of a path, or the first page's for what is in no other street, and the routers there."""
DESCRIPTION = "/openapi.json"


@cache
def whole() -> FastAPI:
    """Every router, in the order of the streets."""
    return _built(tuple(dict.fromkeys(name for names in STREETS.values() for name in names)), DESCRIPTION)


def street(path: str) -> tuple[str, ...]:
    """The routers that may know this path."""
    return STREETS.get("/".join(path.split("/", 3)[:3]), STREETS["/"])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: the request goes to its street."""
    path = scope["path"]
    asked = whole() if path == DESCRIPTION else _street(street(path))
    await asked(scope, receive, send)


@cache
def _street(routers: tuple[str, ...]) -> FastAPI:
    return _built(routers, None)


def _built(routers: tuple[str, ...], description: str | None) -> FastAPI:
    made = FastAPI(
        title="Millrace",
        version="0.1.0",
        description="Text in, a natural human voice out; answers, edits and files become the next model.",
        responses=problems.RESPONSES,
        openapi_url=description,
        docs_url=None,  # its page would be fetched from elsewhere; the console router has one of its own
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # our own logs and metrics are the only ones
    )
    for name in routers:
        made.include_router(import_module(f"functions.gateway.routers.{name}").router)
    problems.install(made)
    return made
