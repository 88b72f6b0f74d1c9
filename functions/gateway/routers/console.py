"""The first page, the API reference and their files: static, no build step, a CSP without inline code."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

router = APIRouter(include_in_schema=False)

FILES = Path(__file__).parents[2] / "console"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
def index() -> Response:
    return file("index.html")


@router.get("/docs")
def reference() -> Response:
    return file("reference.html")


@router.get("/console/{name}")
def file(name: str) -> Response:
    path = next((path for path in FILES.iterdir() if path.name == name and path.suffix in TYPES), None)
    if path is None:
        raise HTTPException(404, "There is no such file.")
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=HEADERS)
