from __future__ import annotations

import pytest
from millrace import seeds
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.tenants import Tenant

from tests.functions.conftest import Api

OWN = Entry("clear@1", "own", endpoint="e-clear")


@pytest.fixture
def seeded(api: Api) -> Api:
    from functions import parts
    from functions.gateway.shapes import settings

    seeds.seed(parts.table(settings))
    Catalogue(parts.table(settings)).publish(Tenant("acme"), OWN)
    return api


def test_the_menu_shows_the_whole_catalogue_and_says_which_key_is_missing(seeded: Api) -> None:
    reply = seeded("GET", "/api/models/available")

    assert reply.status == 200 and reply.body["next"] is None
    rows = {row["id"]: row for row in reply.body["items"]}
    assert list(rows)[:3] == ["auto", "rules", "clear@1"]
    assert set(rows) == {"auto", "rules", "clear@1", *(entry.id for entry in seeds.entries())}
    luna = rows["gpt-6-luna"]
    assert not luna["available"] and luna["reason"]["code"] == "provider"
    assert "OPENAI_API_KEY" in luna["reason"]["text"]
    assert (luna["label"], luna["provider"], luna["input_usd"], luna["context"]) == (
        "GPT-6 Luna",
        "openai",
        0.1,
        1_050_000,
    )
    assert rows["clear@1"]["available"] and rows["clear@1"]["reason"] is None


def test_the_tier_of_the_caller_closes_what_it_does_not_pay_for(seeded: Api) -> None:
    rows = Api(tier=str(Tier.FREE))("GET", "/api/models/available").body["items"]

    assert [row["id"] for row in rows if row["available"]] == ["auto", "rules"]
    assert {row["reason"]["code"] for row in rows[2:]} == {"tier"}


def test_another_tenant_does_not_see_the_own_model(seeded: Api) -> None:
    rows = Api("other")("GET", "/api/models/available").body["items"]

    assert "clear@1" not in {row["id"] for row in rows}
