"""Model versions in the table: numbered once, moved only legally, never half written. AWS: DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .clock import fresh_id, stamp
from .contract import JobState, ModelState
from .errors import Conflict, NotFound
from .jobs import Job
from .models import Model, may_become, version_id
from .table import Table, Write
from .tenants import Kind, Tenant

_LATEST = "latest"
_TRIES = 25
"""Rounds against others who number or activate versions of the same name; in each of them somebody gets through."""


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
        for _ in range(_TRIES):
            standing = self._version_of(tenant, job)
            if standing is not None:
                return standing
            try:
                return self._new_version(tenant, job, lineage)
            except Conflict:
                continue  # somebody numbered a version of this name, or planned this very job
        raise Conflict(f"No version of {job.model_name} could be numbered: too many jobs ask at once; try again.")

    def _version_of(self, tenant: Tenant, job: Job) -> Model | None:
        """The version that the job has; Conflict where the job, or this attempt of it, is over."""
        item = self.table.get(tenant.pk(Kind.JOB, job.id), "body") or {}
        if item.get("state") not in _unfinished() or item.get("attempt") != job.attempt:
            raise Conflict(f"Attempt {job.attempt} of training job {job.id} is over.")
        return self.get(tenant, item["model_id"]) if item.get("model_id") else None

    def _new_version(self, tenant: Tenant, job: Job, lineage: Mapping[str, Any]) -> Model:
        head = self.table.get(tenant.pk(Kind.MODEL, job.model_name), _LATEST) or {}
        version = head.get("version", 0) + 1
        model = Model(
            id=version_id(job.model_name, version),
            name=job.model_name,
            version=version,
            state=ModelState.QUEUED,
            strategy=job.strategy,
            created_at=stamp(),
            lineage={**lineage, "job_id": job.id, **_data(job), "parent": head.get("active")},
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
            op=fresh_id("version-"),
        )
        return model

    def move(self, tenant: Tenant, id: str, state: ModelState, values: Mapping[str, Any] | None = None) -> Model:
        """A legal move, or Conflict. Moving to where it stands already changes only `values`."""
        expect = {"state": (*may_become(state), str(state))}
        changes = {"state": str(state), "updated_at": stamp(), **(values or {})}
        self.table.update(Write("update", tenant.pk(Kind.MODEL, id), "body", changes, expect=expect), fresh_id("move-"))
        return self.get(tenant, id)

    def activate(self, tenant: Tenant, model: Model) -> None:
        """Make this version the one of its name that serves; the one before becomes ready."""
        for _ in range(_TRIES):
            try:
                return self._activate(tenant, model)
            except Conflict:
                if self.get(tenant, model.id).state not in (ModelState.READY, ModelState.ACTIVE):
                    raise
        raise Conflict(f"Other versions of {model.name} were activated {_TRIES} times meanwhile.")

    def _activate(self, tenant: Tenant, model: Model) -> None:
        head = self.table.get(tenant.pk(Kind.MODEL, model.name), _LATEST) or {}
        before, writes = head.get("active"), []
        if self.get(tenant, model.id).state is not ModelState.ACTIVE:
            writes.append(_to(tenant, model.id, ModelState.ACTIVE))
        if before != model.id:
            pointer = {"active": model.id}
            writes.append(
                Write("update", tenant.pk(Kind.MODEL, model.name), _LATEST, pointer, expect={"active": before})
            )
            if before and self.get(tenant, before).state is ModelState.ACTIVE:
                writes.append(_to(tenant, before, ModelState.READY))
        if writes:
            self.table.transact(writes, op=fresh_id("activate-"))


def _to(tenant: Tenant, id: str, state: ModelState) -> Write:
    expect = {"state": may_become(state)}
    return Write(
        "update", tenant.pk(Kind.MODEL, id), "body", {"state": str(state), "updated_at": stamp()}, expect=expect
    )


def _data(job: Job) -> dict[str, Any]:
    """What it is trained on."""
    return {"dataset_id": job.dataset_id} if job.dataset_id else {"snapshot_id": job.snapshot_id}


def _unfinished() -> tuple[str, ...]:
    return tuple(str(state) for state in JobState if not state.final)
