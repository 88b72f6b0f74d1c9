from __future__ import annotations

from collections.abc import Iterator

import pytest
from millrace import seeds
from millrace.breakers import Admission
from millrace.calls import scope
from millrace.catalogue import Catalogue, Entry
from millrace.errors import ProviderRefused, Unavailable
from millrace.tenants import Tenant

from tests.functions.conftest import Api

OWN = Entry("clear@1", "own", endpoint="e-clear")


@pytest.fixture
def seeded(api: Api) -> Iterator[Api]:
    from functions import parts
    from functions.gateway import answering
    from functions.gateway.shapes import settings

    table = parts.table(settings)
    seeds.seed(table)
    Catalogue(table).publish(Tenant("acme"), OWN)
    answering.calls.cache_clear()
    yield api
    answering.calls.cache_clear()


def test_every_model_that_the_tenant_sees_has_a_breaker_and_all_are_closed_at_first(seeded: Api) -> None:
    reply = seeded("GET", "/api/routing/state")

    assert reply.status == 200 and set(reply.body) >= {"breakers", "retry_budget"}
    breakers = {row["model_id"]: row for row in reply.body["breakers"]}
    assert set(breakers) == {"clear@1", *(entry.id for entry in seeds.entries())}
    assert {(row["state"], row["failures"], row["next_try"]) for row in breakers.values()} == {("closed", 0, None)}
    assert reply.body["retry_budget"] == {"left": 1.0, "ratio": 0.1, "cap": 10.0}


def test_a_sick_model_shows_its_failures_and_when_it_is_tried_again(seeded: Api) -> None:
    from functions.gateway.answering import calls

    luna = next(entry for entry in seeds.entries() if entry.id == "gpt-6-luna")
    breakers = calls().breakers
    breakers.report(Admission(scope(luna), probe=False), ProviderRefused("its credit is used up"))
    breakers.report(Admission(scope(OWN), probe=False), Unavailable("it was slow"))

    rows = {row["model_id"]: row for row in seeded("GET", "/api/routing/state").body["breakers"]}

    assert (rows["gpt-6-luna"]["state"], rows["gpt-6-luna"]["failures"]) == ("open", 1)
    assert rows["gpt-6-luna"]["reason"] == "its credit is used up"
    assert rows["gpt-6-luna"]["next_try"] > rows["gpt-6-luna"]["opened_at"]
    assert (rows["clear@1"]["state"], rows["clear@1"]["failures"], rows["clear@1"]["score"] > 0.9) == (
        "closed",
        1,
        True,
    )
    others = [row["failures"] for id, row in rows.items() if id not in ("gpt-6-luna", "clear@1")]
    assert set(others) == {0}


def test_what_another_tenants_endpoint_suffers_is_not_shown(seeded: Api) -> None:
    from functions.gateway.answering import calls

    calls().breakers.report(Admission(scope(OWN), probe=False), Unavailable("it was slow"))

    rows = Api("other")("GET", "/api/routing/state").body["breakers"]

    assert "clear@1" not in {row["model_id"] for row in rows} and {row["failures"] for row in rows} == {0}
