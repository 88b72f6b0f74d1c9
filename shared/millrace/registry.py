"""Model versions in the table: numbered once, moved only legally, never half written. AWS: DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .clock import stamp
from .contract import JobState, ModelState
from .errors import Conflict, NotFound
from .jobs import Job
from .models import Model, may_become, version_id
from .table import Table, Write
from .tenants import Kind, Tenant

_LATEST = "latest"


@dataclass(frozen=True)
class Registry:
    table: Table

    def get(self, tenant: Tenant, id: str) -> Model:
        item = self.table.get(tenant.pk(Kind.MODEL, id), "body")
        if item is None:
            raise NotFound(f"There is no model {id}.")
        return Model.from_item(item)

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Model], str | None]:
        items, following = self.table.page(tenant.pk(Kind.MODEL), limit, cursor)
        return [Model.from_item(item) for item in items], following

    def active(self, tenant: Tenant, name: str) -> Model | None:
        """The version of this name that serves now."""
        item = self.table.get(tenant.pk(Kind.MODEL, name), _LATEST) or {}
        return self.get(tenant, item["active"]) if item.get("active") else None

    def plan_version(self, tenant: Tenant, job: Job, lineage: Mapping[str, Any]) -> Model:
        """The job's model version, `queued`: made the first time, found every time after."""
        if job.model_id:
            return self.get(tenant, job.model_id)
        head = self.table.get(tenant.pk(Kind.MODEL, job.model_name), _LATEST) or {}
        version = head.get("version", 0) + 1
        model = Model(
            id=version_id(job.model_name, version),
            name=job.model_name,
            version=version,
            state=ModelState.QUEUED,
            strategy=job.strategy,
            created_at=stamp(),
            lineage={**lineage, "job_id": job.id, "snapshot_id": job.snapshot_id, "parent": head.get("active")},
            hyperparameters=dict(job.hyperparameters),
        )
        body = model.shown() | {
            "list_pk": tenant.pk(Kind.MODEL),
            "list_sk": f"{model.created_at}#{model.id}",
        }
        self.table.transact(
            [
                Write(
                    "update",
                    tenant.pk(Kind.JOB, job.id),
                    "body",
                    {"model_id": model.id},
                    expect={"model_id": None, "attempt": job.attempt, "state": _unfinished()},
                ),
                Write(
                    "update",
                    tenant.pk(Kind.MODEL, job.model_name),
                    _LATEST,
                    {"version": version},
                    expect={"version": head.get("version")},
                ),
                Write("put", tenant.pk(Kind.MODEL, model.id), "body", body, new=True),
            ],
            op=f"version-{job.id}",
        )
        return model

    def move(self, tenant: Tenant, id: str, state: ModelState, values: Mapping[str, Any] | None = None) -> Model:
        """A legal move, or Conflict. Moving to where it stands already changes only `values`."""
        expect = {"state": (*may_become(state), str(state))}
        changes = {"state": str(state), "updated_at": stamp(), **(values or {})}
        self.table.update(Write("update", tenant.pk(Kind.MODEL, id), "body", changes, expect=expect), f"{state}-{id}")
        return self.get(tenant, id)

    def fail(self, tenant: Tenant, id: str, error: str) -> None:
        """Mark a version as failed unless it serves or has failed already."""
        model = self.get(tenant, id)
        if model.state not in (ModelState.FAILED, ModelState.ACTIVE):
            self.move(tenant, id, ModelState.FAILED, {"error": error})

    def activate(self, tenant: Tenant, model: Model) -> None:
        """Make this version the one of its name that serves; the one before becomes ready."""
        head = self.table.get(tenant.pk(Kind.MODEL, model.name), _LATEST) or {}
        before = head.get("active")
        if before == model.id:
            return
        writes = [
            Write(
                "update",
                tenant.pk(Kind.MODEL, model.name),
                _LATEST,
                {"active": model.id},
                expect={"active": before},
            ),
            _to(tenant, model.id, ModelState.ACTIVE),
        ]
        if before:
            writes.append(_to(tenant, before, ModelState.READY))
        try:
            self.table.transact(writes, op=f"activate-{model.id}")
        except Conflict as error:
            raise Conflict(f"Another version of {model.name} was activated meanwhile.") from error


def _to(tenant: Tenant, id: str, state: ModelState) -> Write:
    expect = {"state": may_become(state)}
    return Write(
        "update", tenant.pk(Kind.MODEL, id), "body", {"state": str(state), "updated_at": stamp()}, expect=expect
    )


def _unfinished() -> tuple[str, ...]:
    return tuple(str(state) for state in JobState if not state.final)
