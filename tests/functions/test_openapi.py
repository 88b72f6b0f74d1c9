"""The description of the API is true: what it promises is answered, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from starlette.types import Receive, Scope, Send

from tests.fakes import LONG
from tests.functions.conftest import ROLES, Api, http_event


class BehindTheAuthorizer:
    """The gateway's application, with the event that Mangum would hand it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = {"tenant": "acme", "tier": "ENTERPRISE", "roles": ROLES}
        await self.app({**scope, "aws.event": http_event("GET", "/", caller=caller)}, receive, send)


@pytest.fixture
def schema(embedded: dict[str, str]) -> Any:
    from functions.gateway.app import app

    return schemathesis.openapi.from_asgi("/openapi.json", BehindTheAuthorizer(app))


def test_every_request_gets_an_answer_that_is_documented(schema: Any) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.label for operation in operations} >= {
        "POST /api/humanize",
        "POST /api/humanize/batch",
        "GET /api/humanize/jobs",
        "GET /api/humanize/jobs/{id}",
        "DELETE /api/humanize/jobs/{id}",
        "POST /api/feedback",
        "GET /api/training-data",
        "POST /api/training-jobs",
        "GET /api/training-jobs/{id}",
        "DELETE /api/training-jobs/{id}",
        "GET /api/models",
        "GET /api/models/{id}",
        "GET /api/models/available",
        "GET /api/routing/state",
        "POST /v1/chat/completions",
        "GET /v1/models",
        "GET /v1/models/{id}",
        "GET /api/drops",
        "POST /api/datasets",
        "PUT /api/datasets/{id}/archive",
        "POST /api/datasets/{id}/upload/complete",
        "GET /api/datasets/{id}/report",
        "GET /api/drops/{id}",
        "GET /api/drops/mapping",
        "PUT /api/drops/mapping",
        "GET /api/system/health",
    }
    for operation in operations:
        if operation.path.startswith(("/api/", "/v1/")):
            _fuzz(operation)


def _fuzz(operation: Any) -> None:
    cases = st.one_of(
        operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=200 * LONG or 12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        derandomize=not LONG,
        database=None,
    )
    @given(case=cases)
    def answered(case: Case) -> None:
        response = case.call()
        assert response.status_code < 500, f"{case.as_curl_command()}\n{response.text}"
        case.validate_response(
            response,
            excluded_checks=[
                schemathesis.checks.CHECKS.get_one("ignored_auth"),
                schemathesis.checks.CHECKS.get_one("positive_data_acceptance"),
            ],
        )

    answered()


def test_each_route_names_the_problems_that_it_has(embedded: dict[str, str]) -> None:
    described = Api(None)("GET", "/openapi.json").body
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            told = operation["responses"]
            assert {"401", "403", "404", "422", "503"} <= set(told), (method, path)
            for status, response in told.items():
                if int(status) >= 400 and (path, status) != ("/api/system/health", "503"):
                    kind = "application/json" if path.startswith("/v1/") else "application/problem+json"
                    assert list(response["content"]) == [kind], (method, path, status)
    assert "HTTPValidationError" not in described["components"]["schemas"]


SAME = "it leaves nothing behind, and its answer is the same each time"
HAVE_NO_KEY = {"/api/models/{id}/classify": SAME, "/api/models/{id}/score": SAME}
"""POSTs whose repeats are not told what the first was, and why."""


def test_every_post_honours_the_key_of_its_repeats(api: Api) -> None:
    """O3: under a key that was used for something else nothing is done, whatever else was sent."""
    paths = api("GET", "/openapi.json").body["paths"]
    posts = {path for path, methods in paths.items() if "post" in methods}
    api("POST", "/api/humanize", {"text": "We use 3 servers."}, idempotency_key="used")

    refused = {path for path in posts if _used(api("POST", path.replace("{id}", "x"), {}, idempotency_key="used"))}

    assert posts - refused == HAVE_NO_KEY.keys()


def _used(reply: Any) -> bool:
    return reply.status == 422 and "used for another request" in json.dumps(reply.body)


def test_each_post_names_the_key_of_its_repeats(embedded: dict[str, str]) -> None:
    paths = Api(None)("GET", "/openapi.json").body["paths"]

    for path in {path for path, methods in paths.items() if "post" in methods} - HAVE_NO_KEY.keys():
        assert "idempotency-key" in {parameter["name"] for parameter in paths[path]["post"]["parameters"]}, path
    assert {"200", "202"} <= set(paths["/api/humanize"]["post"]["responses"])
    assert "text/event-stream" in paths["/api/humanize"]["post"]["responses"]["200"]["content"]
