"""The streets together are the whole: every route is found in its own, and what is in none is answered alike."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient


def test_every_router_has_a_street(environment: dict[str, str]) -> None:
    from functions.gateway import app

    files = Path(app.__file__).parent.joinpath("routers").glob("*.py")

    assert {name for names in app.STREETS.values() for name in names} == {path.stem for path in files} - {"__init__"}


def test_every_route_is_in_the_street_that_its_path_leads_to(environment: dict[str, str]) -> None:
    from functions.gateway.app import STREETS, street

    found = {
        (path, name)
        for name in {name for names in STREETS.values() for name in names}
        for path in _paths(import_module(f"functions.gateway.routers.{name}").router)
    }

    assert ("/api/training-jobs/{id}/logs", "training_jobs") in found and ("/console/{name}", "console") in found
    assert not [(path, name) for path, name in found if name not in street(path)]


def _paths(router: Any, prefix: str = "") -> Iterator[str]:
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from _paths(route.original_router, prefix + route.include_context.prefix)
        else:
            yield prefix + route.path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/api"),
        ("GET", "/api/nowhere"),
        ("GET", "/api/humanizer"),
        ("GET", "/v1/nowhere"),
        ("GET", "//api/models"),
        ("GET", "/api/humanize"),
        ("PATCH", "/api/models/available"),
        ("POST", "/openapi.json"),
        ("GET", "/api/usage/"),
        ("GET", "/docs/"),
        ("HEAD", "/api/me"),
        ("GET", "/api/training-data/exports"),
        ("POST", "/v1/chat/completions"),
    ],
)
def test_a_street_answers_as_the_whole_does(embedded: dict[str, str], method: str, path: str) -> None:
    from functions.gateway.app import app, whole

    by_street, by_whole = (_asked(asked, method, path) for asked in (app, whole()))

    assert by_street.status_code in (307, 401, 404, 405)
    assert (by_street.status_code, by_street.text) == (by_whole.status_code, by_whole.text)
    assert by_street.headers == by_whole.headers


def _asked(app: Any, method: str, path: str) -> Any:
    return TestClient(app, follow_redirects=False).request(method, f"http://testserver{path}")
