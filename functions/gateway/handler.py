"""The HTTP API's function: API Gateway events in, FastAPI's answers out."""

from __future__ import annotations

from mangum import Mangum

from functions.gateway.app import app

# problem+json and the page are text; without this list Mangum would send them as base64.
TEXT = ["text/", "application/json", "application/problem+json", "application/javascript", "image/svg+xml"]

handler = Mangum(app, lifespan="off", text_mime_types=TEXT)
