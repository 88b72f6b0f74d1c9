"""The first page, the API reference and their files: static, no build step, a CSP without inline code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from functions import parts
from functions.gateway.shapes import settings

router = APIRouter(include_in_schema=False)

FILES = Path(__file__).parents[2] / "console"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = "default-src 'self'; {storage} frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@cache
def _headers() -> dict[str, str]:
    """The one other origin that a page of ours speaks to is storage: archives go there, thumbnails come from there."""
    address = urlsplit(parts.datasets(settings).uploads.link("preview"))
    storage = f"{address.scheme}://{address.netloc}"
    policy = POLICY.format(storage=f"connect-src 'self' {storage}; img-src 'self' {storage};")
    return {"Content-Security-Policy": policy, **HEADERS}


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
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=_headers())
