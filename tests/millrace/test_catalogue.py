from __future__ import annotations

from dataclasses import replace

from millrace.catalogue import RULES, Catalogue, Entry
from millrace.contract import Tier
from millrace.fit import Fit
from millrace.tenants import Kind, Tenant, system_pk

from tests.fakes import World

ACME, OTHER = Tenant("acme"), Tenant("other")
MINE = Entry(
    "humanizer@1", "own", endpoint="e", instruction="Rewrite:", fit=vars(Fit.of([("a b", None)])), metrics={"x": 0.5}
)


def test_a_tenant_has_its_own_models_everybodys_and_the_rules_last() -> None:
    catalogue = Catalogue(World().table)
    catalogue.publish(ACME, MINE)
    catalogue.table.put(
        {"pk": system_pk(Kind.CATALOGUE), "sk": "gpt", "id": "gpt", "provider": "openai", "tiers": ["FREE"]}
    )

    mine, theirs = catalogue.entries(ACME), catalogue.entries(OTHER)

    assert mine[0] == MINE and mine[-1] == RULES
    assert [entry.id for entry in theirs] == ["gpt", "rules"] and theirs[0].tiers == (Tier.FREE,)


def test_a_new_version_takes_the_place_of_the_last() -> None:
    catalogue = Catalogue(World().table)
    catalogue.publish(ACME, MINE)
    catalogue.publish(ACME, replace(MINE, id="humanizer@2"))

    assert [entry.id for entry in catalogue.entries(ACME)] == ["humanizer@2", "rules"]


def test_a_price_is_of_a_million_tokens() -> None:
    assert replace(MINE, input_usd=2.0, output_usd=10.0).cost_usd(500_000, 100_000) == 2.0
