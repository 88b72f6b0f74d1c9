"""From a registered version to one that answers."""

from __future__ import annotations

from typing import Any

from millrace.catalogue import Catalogue
from millrace.deployment import Deployment
from millrace.models import Model
from millrace.tenants import Tenant

from tests.fakes import World
from tests.millrace.test_registry import ACME, _ready


class _Work:
    """The part of a pipeline that a deployment asks: which model a job made."""

    def __init__(self, world: World, models: dict[str, Model]) -> None:
        self.registry = world.registry
        self.models = models

    def working(self, tenant: Tenant, job_id: str, attempt: int) -> Any:
        return type("Job", (), {"model_id": self.models[job_id].id})()

    def model_uri(self, tenant: Tenant, job: Any) -> str:
        return "s3://data/model/"


class _Endpoint:
    def __init__(self) -> None:
        self.started: list[str] = []

    def endpoint_name(self, tenant: Tenant, model: Model) -> str:
        return "endpoint"

    def start(self, tenant: Tenant, model: Model, uri: str) -> str:
        self.started.append(model.id)
        return "endpoint"

    def status(self, tenant: Tenant, model: Model) -> tuple[str, str]:
        return "in_service", ""


def test_an_older_version_that_ends_later_does_not_take_the_place_of_a_newer_one() -> None:
    """R1: two trainings at once, and the one on older data is the slower."""
    world, endpoint = World(), _Endpoint()
    models = {"older": _ready(world, "j1"), "newer": _ready(world, "j2")}
    deployment: Any = Deployment(_Work(world, models), endpoint, Catalogue(world.table))  # type: ignore[arg-type]

    for job_id in ("newer", "older"):
        deployment.start(ACME, job_id, 1)
        assert deployment.check(ACME, job_id, 1) == "in_service"

    assert endpoint.started == [models["newer"].id]
    assert world.registry.active(ACME, models["newer"].name) == world.registry.get(ACME, models["newer"].id)
    assert next(entry.id for entry in Catalogue(world.table).entries(ACME)) == models["newer"].id
