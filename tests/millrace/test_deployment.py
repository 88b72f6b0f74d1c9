"""From a registered version to one that answers."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from millrace.catalogue import Catalogue
from millrace.contract import JobState
from millrace.deployment import Deployment, Sweep
from millrace.errors import Unavailable
from millrace.models import Model
from millrace.serving import Serving, withdraw
from millrace.tenants import Tenant

from tests.fakes import World
from tests.millrace.test_registry import ACME, _ready


class _Work:
    """The part of a pipeline that a deployment asks: which model a job made."""

    def __init__(self, world: World, models: dict[str, Model]) -> None:
        self.registry = world.registry
        self.jobs = type("Jobs", (), {"deploying": staticmethod(lambda *_: None)})
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


def _deploying(world: World, id: str = "j1") -> tuple[Serving, Model]:
    """A version of a running job, its endpoint coming up."""
    serving = Serving(world.sagemaker, "test", {"serve": "serve:1"}, "role", "key", "ml.c7i.xlarge")
    model = _ready(world, id)
    pipeline: Any = _Work(world, {id: model})
    pipeline.jobs = world.jobs
    world.jobs.move(ACME, id, JobState.RUNNING, 1)
    Deployment(pipeline, serving, Catalogue(world.table)).start(ACME, id, 1)
    return serving, model


def _sweep(world: World) -> None:
    sweep = Sweep(world.jobs, world.registry, partial(withdraw, world.sagemaker, "test"))
    for item in world.jobs.active():
        sweep(ACME, item["job_id"])


def _at_rest(world: World) -> None:
    for endpoint in world.sagemaker.endpoints.values():
        endpoint["EndpointStatus"] = "InService"


def test_the_endpoint_of_a_job_that_was_cancelled_meanwhile_is_removed_when_it_can_be() -> None:
    world = World()
    _deploying(world)
    world.jobs.cancel(ACME, "j1")

    with pytest.raises(Unavailable, match=r"is Creating; humanizer@1 is taken from it after that"):
        _sweep(world)
    assert world.sagemaker.endpoints and world.jobs.active()
    _at_rest(world)
    _sweep(world)

    assert not world.sagemaker.endpoints and not world.jobs.active()


def test_an_endpoint_goes_back_to_the_active_version() -> None:
    world = World()
    serving, first = _deploying(world, "j1")
    world.registry.activate(ACME, first)
    world.jobs.move(ACME, "j1", JobState.COMPLETED, 1)
    _at_rest(world)
    _deploying(world, "j2")
    _at_rest(world)

    world.jobs.cancel(ACME, "j2")
    _sweep(world)

    _at_rest(world)
    assert serving.status(ACME, first) == ("in_service", "") and not world.jobs.active()


def test_a_version_that_became_active_before_the_cancel_keeps_its_endpoint() -> None:
    world = World()
    serving, model = _deploying(world)
    world.registry.activate(ACME, model)
    _at_rest(world)

    world.jobs.cancel(ACME, "j1")
    _sweep(world)

    assert serving.status(ACME, model) == ("in_service", "") and not world.jobs.active()
