"""The gateway's FastAPI application: one router a resource, one place where errors become problems."""

from __future__ import annotations

from fastapi import FastAPI

from functions.gateway import problems
from functions.gateway.routers import (
    available,
    batch,
    classify,
    console,
    datasets,
    drops,
    feedback,
    fine_tuning,
    humanize,
    models,
    openai,
    policies,
    replays,
    rewrites,
    routing_state,
    score,
    strategies,
    system,
    training_data,
    training_jobs,
    usage,
    voices,
)

app = FastAPI(
    title="Millrace",
    version="0.1.0",
    description="Text in, a natural human voice out; answers, edits and files become the next model.",
    responses=problems.RESPONSES,
    docs_url=None,  # its page would be fetched from elsewhere; the console router has one of its own
    redoc_url=None,
)
for router in (
    humanize,
    batch,
    rewrites,
    voices,
    feedback,
    fine_tuning,
    training_data,
    policies,
    training_jobs,
    available,  # before models, whose {id} would take its name
    classify,
    score,
    models,
    replays,
    routing_state,
    usage,
    openai,
    drops,
    datasets,
    strategies,
    system,
    console,
):
    app.include_router(router.router)
problems.install(app)
