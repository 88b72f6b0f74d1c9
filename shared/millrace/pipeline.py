"""The tasks of the state machines `train` and `search`, one method each. AWS: through what it is handed.

Everything here may run twice: names are derived, writes are conditioned on the attempt, objects are written whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from . import recovery
from .admission import Admission, Limits
from .artifacts import Store, verify
from .clock import stamp
from .contract import MANIFEST, STRATEGY, JobState, ModelState
from .corpus import Corpus
from .errors import Conflict, Corrupt, Forbidden, InvalidInput, NotFound, TrainingFailed
from .fit import Fit
from .gate import Subject, Verdict, judge
from .jobs import Job, Jobs, job_name
from .models import Model, check_name
from .registry import Registry
from .settings import Steps
from .strategies import Strategy, find, strategies
from .tenants import Tenant
from .training import BASE_PREFIX, DATASET_FILE, POLICY, SEARCH, channel_key, check_enough, trained_on_images

if TYPE_CHECKING:
    from .container import Manifest

REFUSED = "Refused"
DISK_SHARE, DISK_SPARE_GB = 1.3, 20
"""Disk for each byte of a dataset, and beside it for the image, the checkpoints and the model."""
SPOT_WAIT_S = 2 * 3600
"""That a spot machine may be waited for, over the time that the container itself may take."""


@dataclass(frozen=True)
class Stage:
    """What the state machine hands to CreateTrainingJob."""

    name: str
    image: str
    hyperparameters: dict[str, str]
    channels: list[dict[str, Any]]
    output_path: str
    checkpoint_path: str
    instance_type: str
    volume_gb: int
    spot: bool
    stopping: dict[str, int]

    @property
    def model_uri(self) -> str:
        """Where SageMaker leaves the uncompressed model folder."""
        return f"{self.output_path}{self.name}/output/model/"


@dataclass(frozen=True)
class Pipeline:
    """The tasks of the state machine, one method each."""

    settings: Steps
    corpus: Corpus
    store: Store
    jobs: Jobs
    registry: Registry

    @property
    def admission(self) -> Admission:
        return Admission(self.jobs, Limits(self.settings.max_jobs))

    def plan(self, tenant: Tenant, job_id: str, attempt: int) -> dict[str, Any]:
        """The model version, queued, and the three stages of this attempt."""
        job = self._with_pairs(tenant, self.jobs.get(tenant, job_id))
        lineage = {} if job.dataset_id else {"base": self._base(job)}
        model = self.registry.plan_version(tenant, job, lineage)
        values = {"stage": "train", "snapshot_id": job.snapshot_id, "base_model": lineage.get("base")}
        self.jobs.move(tenant, job_id, JobState.RUNNING, attempt, values, expect=_OPEN)
        if model.state is ModelState.QUEUED:
            self.registry.move(tenant, model.id, ModelState.TRAINING)
        return self.stages(tenant, replace(job, attempt=attempt)) | {"model": {"id": model.id}}

    def _base(self, job: Job) -> str:
        """What is fine-tuned: later attempts keep the first one's, whatever the stage's own is by then."""
        return job.base_model or self.settings.base_model

    def _with_pairs(self, tenant: Tenant, job: Job) -> Job:
        """The job with its snapshot, which is taken now where that was too much for the request that made the job.

        Of the points that stood then: those that came later begin the next training, and this one is not theirs.
        """
        if job.dataset_id or job.snapshot_id:
            return job
        snapshot = self.corpus.snapshot(tenant, stamp(), until=job.created_at)
        check_enough(snapshot.rows)
        others = [id for id in self.corpus.snapshots.jobs(tenant, snapshot.id) if id != job.id]
        if job.started_by == POLICY and others:
            raise InvalidInput(f"Nothing new was there to train on: job {others[0]} trained on these very pairs.")
        self.corpus.snapshots.link(tenant, snapshot.id, job.id)
        return replace(job, snapshot_id=snapshot.id)

    def stages(self, tenant: Tenant, job: Job) -> dict[str, Any]:
        """What each container of one attempt is given; pure but for the names that settings hold."""
        return self._of_images(tenant, job) if job.dataset_id else self._of_pairs(tenant, job)

    def _of_images(self, tenant: Tenant, job: Job) -> dict[str, Any]:
        """One training; of a search it is the last one, and `trials` are planned round by round."""
        data = {"train": self.store.uri(channel_key(tenant, job.dataset_id))}
        if job.strategy == SEARCH:
            data["trials"] = self.store.uri(search_key(tenant, job))
            finish = self._stage(tenant, job, "train", strategies()["cnn-finish"], job.hyperparameters, data)
            return {"kind": "search", "train": vars(finish)}
        strategy = find(job.strategy)
        if "base" in strategy.needs:
            data["base"] = self._backbone(tenant, str(job.hyperparameters["backbone"]))
        return {"kind": "train", "train": vars(self._stage(tenant, job, "train", strategy, job.hyperparameters, data))}

    def _backbone(self, tenant: Tenant, wanted: str) -> str:
        """A model of the tenant's own, or a folder below base/."""
        if "@" not in wanted:
            return self.store.uri(f"{BASE_PREFIX}/{check_name(wanted)}/")
        lineage = trained_on_images(self.registry, tenant, wanted)
        trained = replace(self.jobs.get(tenant, lineage["job_id"]), attempt=lineage["attempt"])
        return self._stage_uri(tenant, trained, "train")

    def trials(self, tenant: Tenant, job: Job, number: int, proposals: str) -> Stage:
        """A round of a search. `proposals`: key of the folder that holds them."""
        data = {"train": self.store.uri(channel_key(tenant, job.dataset_id)), "proposals": self.store.uri(proposals)}
        if number:
            data["trials"] = self.store.uri(search_key(tenant, job))
        given = {**job.hyperparameters, "round": number}
        return self._stage(tenant, job, f"trials{number}", strategies()["cnn-trials"], given, data)

    def results_key(self, tenant: Tenant, job: Job, number: int) -> str:
        """What the container of a round left, its manifest checked."""
        part = f"trials{number}"
        self.manifest(tenant, job, part)
        return self._stage_key(tenant, job, part) + "results.json"

    def _of_pairs(self, tenant: Tenant, job: Job) -> dict[str, Any]:
        snapshot = self.corpus.load_snapshot(tenant, _snapshot_id(job))
        data = {split: self.store.uri(snapshot.keys[split]) for split in ("train", "validation", "test")}
        data["base"] = self.store.uri(f"{BASE_PREFIX}/{self._base(job)}/")
        given = job.hyperparameters
        train = self._stage(tenant, job, "train", find(job.strategy), given, data)
        shared = {"instruction": given["instruction"]} if "instruction" in given else {}
        later = {"base": data["base"], "test": data["test"], "model": train.model_uri}
        evaluate = self._stage(tenant, job, "evaluate", strategies()["lora-evaluate"], shared, later)
        later |= {"evaluation": evaluate.model_uri, "train": data["train"]}
        gguf = self._stage(tenant, job, "gguf", strategies()["gguf"], shared, later)
        return {"train": vars(train), "evaluate": vars(evaluate), "gguf": vars(gguf)}

    def gate(self, tenant: Tenant, job_id: str, attempt: int, subject: Subject) -> Verdict:
        """Judge the evaluation's or the GGUF's figures; the whole report is stored and its figures shown."""
        job = self.working(tenant, job_id, attempt)
        manifest = self.manifest(tenant, job, _JUDGED[subject])
        active = self.registry.active(tenant, job.model_name)
        data = "dataset_id" if job.dataset_id else "snapshot_id"
        same_split = active is not None and active.lineage.get(data) == getattr(job, data)
        verdict = judge(subject, manifest.metrics, active.metrics if active and same_split else None, job.thresholds)
        report = verdict.to_dict() | {"subject": subject, "metrics": manifest.metrics, "job_id": job_id}
        report |= {"thresholds": job.thresholds}
        self.store.put_json(tenant.prefix("jobs", job_id, str(attempt), f"gate-{subject}.json"), report)
        shown = {"passed": verdict.passed, "reasons": verdict.reasons, "metrics": manifest.metrics}
        following = "gguf" if verdict.passed and subject == "adapter" else "register"
        final = {}
        if subject != "gguf":
            trained = manifest if _JUDGED[subject] == "train" else self.manifest(tenant, job, "train")
            final = {"hyperparameters": _final(job, trained.hyperparameters)}
        told = {"gates": {**job.gates, subject: shown}, "stage": following}
        self.jobs.note(tenant, job_id, attempt, told | final, final)
        return verdict

    def register(self, tenant: Tenant, job_id: str, attempt: int) -> Model:
        """The version becomes ready: figures, artifacts with their hashes, lineage and where it holds."""
        job = self.working(tenant, job_id, attempt)
        if job.model_id is None:
            raise Conflict(f"Training job {job_id} has no model version to register.")
        stages = ("train",) if job.dataset_id else ("train", "evaluate", "gguf")
        manifests = {stage: self.manifest(tenant, job, stage) for stage in stages}
        figures = [manifest.metrics for stage, manifest in manifests.items() if stage != "train" or job.dataset_id]
        artifacts = [
            {"stage": stage, "uri": self._stage_uri(tenant, job, stage) + file.path, **file.model_dump()}
            for stage, manifest in manifests.items()
            for file in manifest.files
        ]
        model = self.registry.get(tenant, job.model_id)
        values = {
            "metrics": {name: value for told in figures for name, value in told.items()},
            "hyperparameters": manifests["train"].hyperparameters,
            "artifacts": artifacts,
            "fit": {} if job.dataset_id else vars(self._fit(tenant, job)),
            "lineage": {**model.lineage, "attempt": attempt, "sources": _sources(manifests)},
        }
        # An attempt that died after the version went live comes here again: it goes on serving.
        state = ModelState.ACTIVE if model.state is ModelState.ACTIVE else ModelState.READY
        return self.registry.move(tenant, model.id, state, values)

    def conclude(self, tenant: Tenant, job_id: str, attempt: int, outcome: str, error: Any = None) -> Job:
        """The end of an attempt: completed, refused by the gate, failed with one sentence, or begun again."""
        job = self.jobs.get(tenant, job_id)
        if job.attempt == attempt and not job.state.final:
            job = self._end(tenant, job, outcome, error)
        if job.attempt != attempt:
            if job.attempt == attempt + 1 and job.state is JobState.QUEUED:
                self.jobs.start(tenant, job)
            return job
        if job.state is not JobState.CANCELLED:  # who cancels settles, and stops this execution too
            self.jobs.settle(tenant, job)
        self.admission.admit()
        return job

    def _end(self, tenant: Tenant, job: Job, outcome: str, error: Any) -> Job:
        if outcome == "completed":
            state, failure = JobState.COMPLETED, None
        elif outcome == "refused":
            reasons = [r["text"] for gate in job.gates.values() for r in gate["reasons"]]
            told = "The gate refused the model: " + "; ".join(reasons) + "."
            state, failure = JobState.FAILED, recovery.Failure(REFUSED, told)
        else:
            state, failure = JobState.FAILED, recovery.read(error)
        try:
            if failure and (again := self._again(tenant, job, failure)):
                return again
            values = {"error": failure.text, "error_code": failure.code} if failure else {"error": None}
            return self.jobs.move(tenant, job.id, state, job.attempt, {**values, "stage": None})
        except Conflict:
            return self.jobs.get(tenant, job.id)  # cancelled, or begun again, at the same moment

    def _again(self, tenant: Tenant, job: Job, failure: recovery.Failure) -> Job | None:
        """The next attempt, where it may end better and its cost still has room."""
        retry = recovery.next_try(job, failure)
        if retry is None:
            return None
        try:
            limits = self.jobs.limits_of_next(tenant, job)
        except Forbidden:
            return None
        self.jobs.stop_containers(job)  # one may work on whose start nobody heard of
        values = {"hyperparameters": dict(retry.hyperparameters), **limits}
        return self.jobs.again(tenant, job, failure.code, retry.text, values)

    def manifest(self, tenant: Tenant, job: Job, stage: str) -> Manifest:
        """What a stage left. TrainingFailed where it left no manifest or one that is not whole."""
        from .container import Manifest  # pydantic, which the steps that read none do without

        folder = self._stage_key(tenant, job, stage)
        try:
            manifest = Manifest.model_validate_json(self.store.get(folder + MANIFEST))
        except NotFound as error:
            raise TrainingFailed(f"The {stage} container ended without a {MANIFEST}.") from error
        except ValueError as error:
            raise Corrupt(f"The {stage} container's {MANIFEST} is not one: {error}") from error
        verify(self.store, folder, manifest, f"The {stage} container's {MANIFEST}")
        return manifest

    def working(self, tenant: Tenant, job_id: str, attempt: int) -> Job:
        """The job, while this attempt of it is the one that works. Conflict for one that is over."""
        job = self.jobs.get(tenant, job_id)
        if job.state.final or job.attempt != attempt:
            raise Conflict(f"Attempt {attempt} of training job {job_id} is over: the job is {job.state}.")
        return job

    def _stage(
        self,
        tenant: Tenant,
        job: Job,
        stage: str,
        strategy: Strategy,
        given: Mapping[str, Any],
        data: Mapping[str, str],
    ) -> Stage:
        name = job_name(self.jobs.prefix, job.id, job.attempt, stage)
        resources, training = strategy.resources, stage not in ("evaluate", "gguf")
        chosen = job.instance_type if training else None
        longest_s = min(int(resources["max_runtime_s"]), job.max_runtime_s or _NO_LIMIT_S)
        waiting = {"MaxWaitTimeInSeconds": longest_s + SPOT_WAIT_S} if job.spot and training else {}
        accepted = {k: v for k, v in given.items() if k in strategy.hyperparameters}
        values = strategy.settle(accepted) | {STRATEGY: strategy.name}
        return Stage(
            name=name,
            image=self.settings.images[strategy.container],
            hyperparameters={k: orjson.dumps(v).decode() for k, v in values.items()},
            channels=[_channel(channel, uri) for channel, uri in data.items()],
            output_path=self.store.uri(tenant.prefix("jobs", job.id, str(job.attempt)) + "/"),
            checkpoint_path=self.store.uri(tenant.prefix("jobs", job.id, "checkpoints", stage) + "/"),
            instance_type=self.settings.instance_type or chosen or str(resources["instance_type"]),
            volume_gb=max(int(resources["volume_gb"]), self._data_gb(tenant, job)),
            spot=bool(waiting),
            stopping={"MaxRuntimeInSeconds": longest_s, **waiting},
        )

    def _data_gb(self, tenant: Tenant, job: Job) -> int:
        """Disk for the images of a training, as they come and as they are read, and for what it leaves."""
        if not job.dataset_id:
            return 0
        told = self.store.get_json(channel_key(tenant, job.dataset_id) + DATASET_FILE)
        return math.ceil(int(told.get("archive_size", 0)) * DISK_SHARE / 2**30) + DISK_SPARE_GB

    def _stage_key(self, tenant: Tenant, job: Job, stage: str) -> str:
        name = job_name(self.jobs.prefix, job.id, job.attempt, stage)
        return tenant.prefix("jobs", job.id, str(job.attempt), name, "output", "model") + "/"

    def _stage_uri(self, tenant: Tenant, job: Job, stage: str) -> str:
        return self.store.uri(self._stage_key(tenant, job, stage))

    def model_uri(self, tenant: Tenant, job: Job) -> str:
        """The folder that an endpoint serves."""
        return self._stage_uri(tenant, job, "train" if job.dataset_id else "gguf")

    def _fit(self, tenant: Tenant, job: Job) -> Fit:
        snapshot = self.corpus.load_snapshot(tenant, _snapshot_id(job))
        pairs = map(orjson.loads, self.store.lines(snapshot.keys["train"] + "data.jsonl"))
        return Fit.of((pair["source"], pair["target"]) for pair in pairs)


def search_key(tenant: Tenant, job: Job) -> str:
    """Where a search keeps its rounds: they are the job's, and not one attempt's."""
    return tenant.prefix("jobs", job.id, "search") + "/"


_JUDGED: Mapping[Subject, str] = {"adapter": "evaluate", "gguf": "gguf", "cnn": "train"}
_NO_LIMIT_S = 28 * 24 * 3600  # what SageMaker itself allows
_OPEN = (JobState.PENDING, JobState.QUEUED, JobState.RUNNING)


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _final(job: Job, trained: Mapping[str, Any]) -> dict[str, Any]:
    """The job's hyperparameters as they were settled where it was trained: by advice, memory and disk."""
    known = find(job.strategy).hyperparameters
    return {**job.hyperparameters, **{name: value for name, value in trained.items() if name in known}}


def _sources(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    return {stage: manifest.source_sha256 for stage, manifest in manifests.items()}


def _snapshot_id(job: Job) -> str:
    if job.snapshot_id is None:
        raise InvalidInput(f"Training job {job.id} trains on no pairs.")
    return job.snapshot_id
