from __future__ import annotations

import io
import json
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from millrace.classifying import Classifying
from millrace.contract import ModelState
from millrace.errors import Conflict, InvalidInput, MillraceError, NotFound, Unavailable
from millrace.jobs import Job, JobState
from millrace.registry import Registry
from millrace.serving import endpoint_name
from millrace.tenants import Tenant

from tests.fakes import World

ACME, OTHER = Tenant("acme"), Tenant("other")
ANSWER = {"class": "7", "probabilities": {"1": 0.2, "7": 0.8}, "latency_ms": 1.0, "model": "m"}


class Runtime:
    """SageMaker's runtime: a body, or what it says of a container that refused."""

    def __init__(self, answer: Any = ANSWER, status: int = 200) -> None:
        self.answer, self.status, self.asked = answer, status, list[dict[str, Any]]()

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if self.status != 200:
            told = {"Error": {"Code": "ModelError", "Message": "Received client error"}}
            more = {"OriginalStatusCode": self.status, "OriginalMessage": json.dumps(self.answer)}
            raise ClientError(told | more | {"ResponseMetadata": {"HTTPStatusCode": 424}}, "InvokeEndpoint")  # type: ignore[arg-type]
        return {"Body": io.BytesIO(self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode())}


def serving(runtime: Runtime, state: ModelState = ModelState.ACTIVE, data: str = "dataset_id") -> Classifying:
    world = World()
    given: dict[str, Any] = {data: "d1"}
    job = Job("j1", JobState.PENDING, "cnn-search", 1, "digits", "2026-01-01T00:00:00.000Z", "person", **given)
    assert world.jobs.create(ACME, job)
    registry = Registry(world.table)
    model = registry.plan_version(ACME, job, {})
    registry.move(ACME, model.id, ModelState.READY)
    if state is ModelState.ACTIVE:
        registry.activate(ACME, registry.get(ACME, model.id))
    return Classifying(registry, runtime, partial(endpoint_name, "test"))  # type: ignore[arg-type]


@pytest.mark.parametrize("id", ["digits", "digits@1"])
def test_an_image_goes_to_the_names_endpoint_as_it_came_and_the_likeliest_class_is_first(id: str) -> None:
    runtime = Runtime()

    found = serving(runtime).classify(ACME, id, b"\x89PNG")

    assert (found.model_id, found.label, list(found.shares.items())) == ("digits@1", "7", [("7", 0.8), ("1", 0.2)])
    assert runtime.asked[0]["Body"] == b"\x89PNG" and runtime.asked[0]["EndpointName"].startswith("millrace-test-acme")


def test_what_the_container_says_of_the_image_is_told_to_its_sender() -> None:
    refusal = {"error": {"message": "An image cannot be decoded: no image."}}

    with pytest.raises(InvalidInput, match="cannot be decoded"):
        serving(Runtime(refusal, 400)).classify(ACME, "digits", b"text")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_containers_own_trouble_is_not_the_senders(status: int) -> None:
    with pytest.raises(MillraceError) as raised:
        serving(Runtime({"error": {"message": "full"}}, status)).classify(ACME, "digits", b"x")

    assert not isinstance(raised.value, InvalidInput)


def test_an_answer_that_is_no_json_is_no_answer() -> None:
    with pytest.raises(Unavailable):
        serving(Runtime(b"<html>")).classify(ACME, "digits", b"x")


@pytest.mark.parametrize(
    ("id", "tenant", "error"),
    [
        ("digits@2", ACME, NotFound),
        ("nobody", ACME, NotFound),
        ("digits@1", OTHER, NotFound),
        ("digits", OTHER, NotFound),
    ],
)
def test_what_is_not_there_and_what_is_anothers_look_the_same(id: str, tenant: Tenant, error: type[Exception]) -> None:
    with pytest.raises(error):
        serving(Runtime()).classify(tenant, id, b"x")


def test_only_what_serves_answers_and_only_images_are_classified() -> None:
    with pytest.raises(Conflict, match="does not serve"):
        serving(Runtime(), ModelState.READY).classify(ACME, "digits@1", b"x")
    with pytest.raises(InvalidInput, match="works on texts"):
        serving(Runtime(), data="snapshot_id").classify(ACME, "digits@1", b"x")
    with pytest.raises(InvalidInput, match="empty"):
        serving(Runtime()).classify(ACME, "digits", b"")
