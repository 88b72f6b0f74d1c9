"""Every route that answers with a page signs its cursors, and binds them to the tenant, the route and the filters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute

from tests.functions.conftest import CONTEXT, Api, pairs

Put = Callable[[str, bytes], dict[str, Any]]
WHOLE = {"/api/models/available", "/api/strategies", "/{id}/attempts"}
"""Answers with all there is at once: its `next` is always null."""


def test_every_list_takes_its_limit_and_cursor_from_paging(embedded: dict[str, str]) -> None:
    from functions.gateway.app import whole
    from functions.gateway.paging import paging

    lists = [route for route in _routes(whole()) if "next" in getattr(route.response_model, "model_fields", {})]

    assert {"/api/drops", "/api/training-data", "/api/models", "/api/voices"} <= {route.path for route in lists}
    for route in lists:
        if route.path in WHOLE:
            continue
        assert paging in {dependency.call for dependency in route.dependant.dependencies}, route.path
        assert not {"limit", "cursor"} & inspect.signature(route.endpoint).parameters.keys(), route.path


def _routes(app: Any) -> list[APIRoute]:
    def within(routes: Any) -> list[APIRoute]:
        found = [route for route in routes if isinstance(route, APIRoute)]
        return found + [
            inner
            for route in routes
            if hasattr(route, "original_router")
            for inner in within(route.original_router.routes)
        ]

    return within(app.routes)


def test_a_cursor_holds_for_its_tenant_its_route_and_its_filters(api: Api, put: Put) -> None:
    from functions.ingest.handler import handler

    handler(put("drop/acme/a.csv", pairs(5)), CONTEXT)
    handler(put("drop/acme/b.csv", pairs(6)), CONTEXT)
    cursor = api("GET", "/api/training-data", query="limit=2").body["next"]

    assert api("GET", "/api/training-data", query=f"limit=3&cursor={cursor}").status == 200
    refused = [
        Api("other")("GET", "/api/training-data", query=f"limit=2&cursor={cursor}"),
        api("GET", "/api/drops", query=f"limit=2&cursor={cursor}"),
        api("GET", "/api/training-data", query=f"limit=2&split=test&cursor={cursor}"),
        api("GET", "/api/training-data", query=f"limit=2&cursor={cursor[:-2]}AA"),
    ]
    for reply in refused:
        assert (reply.status, reply.body["type"]) == (422, "/problems/invalid-input")
        assert "not one of this list" in reply.body["detail"]
