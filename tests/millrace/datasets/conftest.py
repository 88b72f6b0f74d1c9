"""Datasets on the embedded AWS, and an intake that runs as the state machine would run it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import orjson
import pytest
from millrace import aws
from millrace.artifacts import Store
from millrace.datasets.dataset import Dataset
from millrace.datasets.intake import Intake
from millrace.datasets.repository import Datasets
from millrace.datasets.uploads import Uploads
from millrace.events import Events
from millrace.table import Table
from millrace.tenants import Tenant

from tests.fakes import FakeEvents, FakeStates

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:unpack"
ACME = Tenant("acme")


@dataclass
class Yard:
    """One tenant's datasets."""

    datasets: Datasets
    intake: Intake
    states: FakeStates
    bus: FakeEvents = field(default_factory=FakeEvents)
    tenant: Tenant = ACME

    def draft(self, name: str = "animals", domain: str = "zoo") -> Dataset:
        return self.datasets.create(self.tenant, str(uuid.uuid4()), name, domain)

    def send(self, body: bytes, name: str = "animals") -> Dataset:
        """Upload in one piece, and everything that follows from it."""
        return self.run(self.datasets.put(self.tenant, self.draft(name).id, body))

    def run(self, dataset: Dataset) -> Dataset:
        """The state machine's steps."""
        work = (self.tenant, dataset.id, dataset.attempt)
        plan = self.intake.plan(*work)
        if plan["outcome"] == "go":
            for slice in orjson.loads(self.intake.store.get(plan["key"])):
                while not self.intake.look(*work, slice["slice"]):
                    pass
            self.intake.merge(*work)
        return self.datasets.get(self.tenant, dataset.id)

    def keys(self) -> list[str]:
        """Every object, and version, of the data bucket."""
        found = self.intake.store.client.list_object_versions(Bucket=self.intake.store.bucket)
        return [each["Key"] for each in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]]


@pytest.fixture
def yard(embedded: dict[str, str]) -> Yard:
    bucket, states, bus = embedded["MILLRACE_DATA_BUCKET"], FakeStates(), FakeEvents()
    uploads = Uploads(aws.s3(), aws.s3(), bucket)
    table = Table(aws.dynamodb(), embedded["MILLRACE_TABLE"])
    datasets = Datasets(table, uploads, MACHINE, states, Events(bus))  # type: ignore[arg-type]
    return Yard(datasets, Intake(datasets, Store(aws.s3(), bucket)), states, bus)
