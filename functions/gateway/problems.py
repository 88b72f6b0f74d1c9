"""Errors as RFC 9457 problem details; the one place where an error becomes an HTTP status.

Below /v1 they have OpenAI's shape instead, so that its clients raise what their users catch.
"""

from __future__ import annotations

import math
import traceback
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from millrace.errors import MillraceError, NotFound, OverBudget, ProviderRefused, told
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.observability import logger


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    draft: str | None = None
    """Of an unfaithful rewrite."""
    violations: list[dict[str, str]] | None = None


def _documented(status: int, title: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": title, "model": Problem, "content": content}


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: _documented(400, "The request is not one"),
    401: _documented(401, "No key, or one that is not known"),
    403: _documented(403, "Not allowed for this tier or role"),
    404: _documented(404, "No such thing for this tenant"),
    409: _documented(409, "The thing is in a state that forbids this"),
    413: _documented(413, "Over a stated limit"),
    422: _documented(422, "Input that can never work, or an unfaithful rewrite"),
    429: _documented(429, "The day's budget has no room for this call"),
    503: _documented(503, "A dependency does not answer; try again"),
}


class OpenAIDetail(BaseModel):
    message: str
    type: str
    code: str
    param: str | None
    draft: str | None = None
    """Of an unfaithful rewrite."""
    violations: list[dict[str, str]] | None = None


class OpenAIError(BaseModel):
    """OpenAI's error."""

    error: OpenAIDetail


OPENAI_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": told["description"], "model": OpenAIError} for status, told in RESPONSES.items()
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_error(status: int, code: str, detail: str, param: str | None = None, **more: Any) -> dict[str, Any]:
    if code == NotFound.code:
        code, param = "model_not_found", "model"
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": detail, "type": kind, "code": code, "param": param} | more}


def install(app: FastAPI) -> None:
    app.add_exception_handler(MillraceError, ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Border)
    described = app.openapi
    app.openapi = lambda: _as_problems(described())  # type: ignore[method-assign]


def _as_problems(described: dict[str, Any]) -> dict[str, Any]:
    """FastAPI adds application/json to every response with a model; ours that are problems are nothing else."""
    for methods in described["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                if "application/problem+json" in response.get("content", {}):
                    response["content"].pop("application/json", None)
    return described


def answer(path: str, status: int, code: str, title: str, detail: str, **more: Any) -> JSONResponse:
    headers = {"Retry-After": "5"} if status == 503 else None
    if path.startswith("/v1/"):
        return JSONResponse(openai_error(status, code, detail, **more), status, headers)
    more.pop("param", None)  # OpenAI's
    body = {"type": f"/problems/{code}", "title": title, "status": status, "detail": detail} | more
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def said(status: int) -> Response:
    """A status and no word."""
    return Response(status_code=status)


def problem(error: MillraceError) -> Problem:
    return Problem(**told(error))


def ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MillraceError)  # noqa: S101 - registered for this class alone
    path = request.url.path
    if error.status >= 500:
        logger.warning("request failed", error=type(error).__name__, reason=str(error), path=path)
    found = told(error)
    more = {name: found[name] for name in ("draft", "violations") if name in found}
    reply = answer(path, error.status, error.code, found["title"], found["detail"], **more)
    if (wait_s := getattr(error, "retry_after_s", None)) is not None:
        reply.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    if isinstance(error, (ProviderRefused, OverBudget)):
        reply.headers["x-should-retry"] = "false"  # what OpenAI's clients listen to: only a person can mend this
    return reply


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    faults = "; ".join(f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors()[:10])
    path = request.url.path
    status = 400 if path.startswith("/v1/") else 422  # what a client of OpenAI's knows as BadRequestError
    param = ".".join(map(str, error.errors()[0]["loc"][1:])) or None
    return answer(path, status, "invalid-input", "Invalid input", faults, param=param)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    path = request.url.path
    reply = answer(path, error.status_code, "http", str(error.detail), f"{request.method} {path}: {error.detail}")
    reply.headers.update(error.headers or {})  # Allow of a 405
    return reply


class Border:
    """The border of the process: an unexpected error becomes a problem and goes no further.

    Starlette's own handler would raise it again, and its traceback, which may quote a user's text, would be logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            logger.error("unexpected error", error=type(error).__name__, path=scope.get("path"), at=_place(error))
            detail = "Something went wrong on our side; it is logged."
            await answer(str(scope.get("path")), 500, "internal", "Internal error", detail)(scope, receive, send)


def _place(error: Exception) -> str:
    """File and line where it was raised: enough to find it, and nothing of what it was about."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"
