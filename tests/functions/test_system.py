"""GET /api/system/health says where AWS is on the twin, and only there."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Response


@pytest.mark.parametrize(("set_to", "told"), [("http://localhost:4566", "http://localhost:4566"), ("", None)])
def test_health_tells_the_twins_endpoint_and_nothing_in_the_cloud(
    embedded: Any, monkeypatch: pytest.MonkeyPatch, set_to: str, told: str | None
) -> None:
    from functions.gateway.routers import system

    monkeypatch.setattr(system, "_active", lambda dependencies: 0)
    monkeypatch.setattr(system, "_bucket", lambda dependencies: None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", set_to)

    assert system.health(Response()).aws_endpoint == told
