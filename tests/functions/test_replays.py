"""The golden set through the API, and what savings are told against."""

from __future__ import annotations

import pytest
from millrace.golden import golden
from millrace.tenants import Tenant
from millrace.usage import Spending, Spent

from tests.functions.conftest import Api
from tests.functions.test_sick_providers import _server, api, fresh, server  # noqa: F401 - fixtures
from tests.providers_server import Answer, ProviderServer, Script, source_in


def test_a_replay_is_run_by_an_operator_and_shown_to_readers(api: Api, server: ProviderServer) -> None:  # noqa: F811
    from millrace.text.rules import rewrite

    server.answer = lambda prompt: Answer(rewrite(source_in(prompt)).text)

    missing = api("GET", "/api/models/gpt-4o/replay")
    told = api("POST", "/api/models/gpt-4o/replay")
    shown = api("GET", "/api/models/gpt-4o/replay")

    assert missing.status == 404 and told.status == 200
    assert told.body["before"]["model_id"] == "gpt-4o" and told.body["successor"] == told.body["after"]["model_id"]
    assert told.body["before"]["texts"] == len(golden().asks) and told.body["verdict"] == "as good"
    assert shown.body == told.body
    other = Api("other")
    assert other("GET", "/api/models/gpt-4o/replay").status == 404, "another tenant's looks like a missing one"
    reader = Api("acme", roles="reader")
    assert reader("POST", "/api/models/gpt-4o/replay").status == 403


def test_savings_are_told_against_the_named_baseline(api: Api) -> None:  # noqa: F811
    from functions.gateway.answering import books

    tenant = Tenant("acme")
    usage = books().usage
    hold = usage.reserve(tenant, 0.0)
    assert hold is not None
    usage.settle(hold, Spent("gpt-6-luna", 0.0006, 1_000, 1_000))

    told = api("GET", "/api/usage")

    assert told.status == 200 and told.body["savings"]["baseline"] == "gpt-4o"
    assert told.body["savings"]["baseline_usd"] == pytest.approx(0.0125)
    assert told.body["savings"]["saved_usd"] == pytest.approx(0.0125 - 0.0006)
    assert told.body["days"][0]["models"][0]["model_id"] == "gpt-6-luna"


def test_plain_chat_over_the_budget_is_429_in_openais_shape(api: Api, server: ProviderServer) -> None:  # noqa: F811
    from functions.gateway.answering import books

    books().usage.set_policy(Tenant("acme"), Spending(0.000001))
    server.script = Script.OK

    told = api("POST", "/v1/chat/completions", {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi"}]})

    assert told.status == 429 and told.body["error"]["code"] == "insufficient_quota"
    assert told.headers["x-should-retry"] == "false" and server.seen == []
