"""From a registered version to one that answers: the endpoint, then the registry, then the catalogue. AWS: through
what it is handed. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .catalogue import Catalogue, Entry
from .contract import JobState
from .errors import Conflict, DeploymentFailed
from .jobs import DEPLOYING, Job, Jobs
from .models import Model
from .pipeline import Pipeline
from .registry import Registry
from .serving import Serving, Status
from .tenants import Tenant

Withdraw = Callable[[Tenant, Model, Model | None], None]
"""Takes a version from its endpoint, in favour of the active one where there is one."""


@dataclass(frozen=True)
class Sweep:
    """What `jobs.sweep_one` does, and what a job that ended while it was deployed left behind its endpoint."""

    jobs: Jobs
    registry: Registry
    withdraw: Withdraw

    def __call__(self, tenant: Tenant, job_id: str) -> str:
        item = self.jobs.item(tenant, job_id)
        job = Job.from_item(item)
        if job.state in (JobState.FAILED, JobState.CANCELLED) and item.get(DEPLOYING) and job.model_id:
            self.jobs.settle(tenant, job)  # its version is ended first: nothing makes it the active one after that
            model = self.registry.get(tenant, job.model_id)
            self.withdraw(tenant, model, self.registry.active(tenant, model.name))
            self.jobs.withdrawn(tenant, job_id)
        return self.jobs.sweep_one(tenant, job_id)


@dataclass(frozen=True)
class Deployment:
    pipeline: Pipeline
    serving: Serving
    catalogue: Catalogue

    def start(self, tenant: Tenant, job_id: str, attempt: int) -> str:
        """The endpoint's name; it comes up meanwhile, unless a newer version serves already: this one stays ready."""
        job, model = self._subject(tenant, job_id, attempt)
        if self._superseded(tenant, model):
            return self.serving.endpoint_name(tenant, model)
        self.pipeline.jobs.deploying(tenant, job_id, attempt)
        return self.serving.start(tenant, model, self.pipeline.model_uri(tenant, job))

    def check(self, tenant: Tenant, job_id: str, attempt: int) -> Status:
        """Where the endpoint stands; once it serves, the version is active and the catalogue knows it."""
        _, model = self._subject(tenant, job_id, attempt)
        if self._superseded(tenant, model):
            return "in_service"
        status, reason = self.serving.status(tenant, model)
        if status == "failed":
            raise DeploymentFailed(f"The endpoint of {model.id} did not come up: {reason}.")
        if status == "in_service":
            self._publish(tenant, model)
        return status

    def _superseded(self, tenant: Tenant, model: Model) -> bool:
        """A newer version serves already: one that was trained on older data and ends later does not take its place."""
        active = self.pipeline.registry.active(tenant, model.name)
        return active is not None and active.version > model.version

    def _publish(self, tenant: Tenant, model: Model) -> None:
        registry = self.pipeline.registry
        registry.activate(tenant, model)
        if model.lineage.get("dataset_id"):
            return  # it answers images; the catalogue is of those who answer texts
        self.catalogue.publish(
            tenant,
            Entry(
                id=model.id,
                provider="own",
                endpoint=self.serving.endpoint_name(tenant, model),
                instruction=str(model.hyperparameters.get("instruction", "")),
                fit=model.fit,
                metrics=model.metrics,
            ),
        )

    def _subject(self, tenant: Tenant, job_id: str, attempt: int) -> tuple[Job, Model]:
        job = self.pipeline.working(tenant, job_id, attempt)
        if job.model_id is None:
            raise Conflict(f"Training job {job_id} has no model version to deploy.")
        return job, self.pipeline.registry.get(tenant, job.model_id)
