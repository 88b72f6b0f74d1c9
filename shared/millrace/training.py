"""From data to a serving model: the use-cases behind the state machine `train`. AWS: through what it is handed.

Everything here may run twice: names are derived, writes are conditioned on the attempt, objects are written whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from .artifacts import Store
from .clock import stamp
from .contract import MANIFEST, STRATEGY, JobState, Manifest, ModelState
from .corpus import Corpus
from .datapoints import Split
from .errors import Conflict, Corrupt, InvalidInput, NotFound, TrainingFailed, Unavailable
from .fit import Fit
from .gate import Subject, Verdict, judge
from .jobs import Job, Jobs, job_name
from .models import Model, check_name
from .registry import Registry
from .settings import Steps
from .strategies import MIN_TRAIN_PAIRS, Strategy, find, strategies
from .tenants import Tenant

DEFAULT_MODEL_NAME = "humanizer"
BASE_PREFIX = "base"
"""s3://<data bucket>/base/<model>/: where `make base` and the twin put base models."""


@dataclass(frozen=True)
class Training:
    corpus: Corpus
    jobs: Jobs

    def begin(
        self,
        tenant: Tenant,
        job_id: str,
        strategy: str = "lora-sft",
        hyperparameters: Mapping[str, Any] | None = None,
        model_name: str = DEFAULT_MODEL_NAME,
        max_runtime_s: int | None = None,
    ) -> Job:
        """Somebody asks for a training on all usable pairs. A repeat with the same id finds the first one."""
        settled = find(strategy).settle(hyperparameters or {})
        check_name(model_name)
        counts = self.corpus.counts(tenant)
        snapshot = self.corpus.snapshot(tenant, stamp())
        _enough(snapshot.rows)
        job = Job(
            id=job_id,
            state=JobState.PENDING,
            strategy=strategy,
            attempt=1,
            snapshot_id=snapshot.id,
            model_name=model_name,
            created_at=stamp(),
            started_by="person",
            hyperparameters=settled,
            max_runtime_s=max_runtime_s,
        )
        if not self.jobs.create(tenant, job, self.corpus.claiming(tenant, counts)):
            try:
                return self.jobs.get(tenant, job_id)
            except NotFound:
                raise Conflict("Another training claimed these pairs at the same moment; ask again.") from None
        self._start(tenant, job)
        return self.jobs.get(tenant, job.id)

    def begin_if_due(self, tenant: Tenant, threshold: int, strategy: str = "lora-sft") -> Job | None:
        """Start a training when enough new pairs came; never twice for one snapshot, whoever asks at once."""
        counts = self.corpus.counts(tenant)
        if threshold <= 0 or counts.fresh < threshold:
            return None
        snapshot = self.corpus.snapshot(tenant, stamp())
        if snapshot.rows["train"] < MIN_TRAIN_PAIRS or not snapshot.rows["test"]:
            return None
        job = Job(
            id="j" + snapshot.id.removeprefix("sn"),
            state=JobState.PENDING,
            strategy=strategy,
            attempt=1,
            snapshot_id=snapshot.id,
            model_name=DEFAULT_MODEL_NAME,
            created_at=stamp(),
            started_by="policy",
            hyperparameters=find(strategy).settle({}),
        )
        if not self.jobs.create(tenant, job, self.corpus.claiming(tenant, counts)):
            return None
        self._start(tenant, job)
        return job

    def _start(self, tenant: Tenant, job: Job) -> None:
        try:
            self.jobs.start(tenant, job.id, job.attempt)
        except Unavailable:
            return  # the job stands, and the sweeper starts it


def _enough(rows: Mapping[Split, int]) -> None:
    if rows["train"] < MIN_TRAIN_PAIRS or not rows["test"]:
        raise InvalidInput(
            f"A training needs at least {MIN_TRAIN_PAIRS} usable pairs in the training split (about 80 % of all) and "
            f"one in the test split; there are {rows['train']} and {rows['test']}. Drop more pairs."
        )


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
    max_runtime_s: int

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

    def plan(self, tenant: Tenant, job_id: str, attempt: int) -> dict[str, Any]:
        """The model version, queued, and the three stages of this attempt."""
        job = self.jobs.get(tenant, job_id)
        lineage = {"base": self.settings.base_model}
        model = self.registry.plan_version(tenant, job, lineage)
        self.jobs.move(tenant, job_id, JobState.RUNNING, attempt, {"stage": "train"}, expect=_OPEN)
        if model.state is ModelState.QUEUED:
            self.registry.move(tenant, model.id, ModelState.TRAINING)
        return self.stages(tenant, replace(job, attempt=attempt)) | {"model": {"id": model.id}}

    def stages(self, tenant: Tenant, job: Job) -> dict[str, Any]:
        """train, evaluate and gguf of one attempt; pure but for the names that settings hold."""
        snapshot = self.corpus.load_snapshot(tenant, job.snapshot_id)
        data = {split: self.store.uri(snapshot.keys[split]) for split in ("train", "validation", "test")}
        data["base"] = self.store.uri(f"{BASE_PREFIX}/{self.settings.base_model}/")
        given = job.hyperparameters
        train = self._stage(tenant, job, "train", find(job.strategy), given, data)
        shared = {"instruction": given["instruction"]} if "instruction" in given else {}
        later = {"base": data["base"], "test": data["test"], "model": train.model_uri}
        evaluate = self._stage(tenant, job, "evaluate", strategies()["lora-evaluate"], shared, later)
        later["evaluation"] = evaluate.model_uri
        gguf = self._stage(tenant, job, "gguf", strategies()["gguf"], shared, later)
        return {"train": vars(train), "evaluate": vars(evaluate), "gguf": vars(gguf)}

    def gate(self, tenant: Tenant, job_id: str, attempt: int, subject: Subject) -> Verdict:
        """Judge the evaluation's or the GGUF's figures; the whole report is stored and its figures shown."""
        job = self.working(tenant, job_id, attempt)
        manifest = self.manifest(tenant, job, "evaluate" if subject == "adapter" else "gguf")
        active = self.registry.active(tenant, job.model_name)
        same_split = active is not None and active.lineage.get("snapshot_id") == job.snapshot_id
        verdict = judge(subject, manifest.metrics, active.metrics if active and same_split else None)
        report = verdict.to_dict() | {"subject": subject, "metrics": manifest.metrics, "job_id": job_id}
        self.store.put_json(tenant.prefix("jobs", job_id, str(attempt), f"gate-{subject}.json"), report)
        shown = {"passed": verdict.passed, "reasons": verdict.reasons, "metrics": manifest.metrics}
        following = "gguf" if verdict.passed and subject == "adapter" else "register"
        self.jobs.note(tenant, job_id, attempt, {"gates": {**job.gates, subject: shown}, "stage": following})
        return verdict

    def register(self, tenant: Tenant, job_id: str, attempt: int) -> Model:
        """The version becomes ready: figures, artifacts with their hashes, lineage and where it holds."""
        job = self.working(tenant, job_id, attempt)
        if job.model_id is None:
            raise Conflict(f"Training job {job_id} has no model version to register.")
        manifests = {stage: self.manifest(tenant, job, stage) for stage in ("train", "evaluate", "gguf")}
        artifacts = [
            {"stage": stage, "uri": self._stage_uri(tenant, job, stage) + file.path, **file.model_dump()}
            for stage, manifest in manifests.items()
            for file in manifest.files
        ]
        model = self.registry.get(tenant, job.model_id)
        values = {
            "metrics": {**manifests["evaluate"].metrics, **manifests["gguf"].metrics},
            "hyperparameters": manifests["train"].hyperparameters,
            "artifacts": artifacts,
            "fit": vars(self._fit(tenant, job)),
            "lineage": {**model.lineage, "attempt": attempt, "sources": _sources(manifests)},
        }
        # An attempt that died after the version went live comes here again: it goes on serving.
        state = ModelState.ACTIVE if model.state is ModelState.ACTIVE else ModelState.READY
        return self.registry.move(tenant, model.id, state, values)

    def conclude(self, tenant: Tenant, job_id: str, attempt: int, outcome: str, error: Any = None) -> Job:
        """The end of an attempt: completed, refused by the gate, or failed with one sentence."""
        job = self.jobs.get(tenant, job_id)
        if job.attempt != attempt:
            return job
        if not job.state.final:
            job = self._end(tenant, job, outcome, error)
        if job.state is JobState.FAILED:
            self.jobs.settle(tenant, job)
        return job

    def _end(self, tenant: Tenant, job: Job, outcome: str, error: Any) -> Job:
        if outcome == "completed":
            state, sentence = JobState.COMPLETED, None
        elif outcome == "refused":
            reasons = [r["text"] for gate in job.gates.values() for r in gate["reasons"]]
            state, sentence = JobState.FAILED, "The gate refused the model: " + "; ".join(reasons) + "."
        else:
            state, sentence = JobState.FAILED, sentence_of(error)
        try:
            return self.jobs.move(tenant, job.id, state, job.attempt, {"error": sentence, "stage": None})
        except Conflict:
            return self.jobs.get(tenant, job.id)  # cancelled, or begun again, at the same moment

    def manifest(self, tenant: Tenant, job: Job, stage: str) -> Manifest:
        """What a stage left. TrainingFailed where it left no manifest or one that is not whole."""
        key = self._stage_key(tenant, job, stage) + MANIFEST
        try:
            return Manifest.model_validate_json(self.store.get(key))
        except NotFound as error:
            raise TrainingFailed(f"The {stage} container ended without a {MANIFEST}.") from error
        except ValueError as error:
            raise Corrupt(f"The {stage} container's {MANIFEST} is not one: {error}") from error

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
        name = job_name(job.id, job.attempt, stage)
        resources = strategy.resources
        accepted = {k: v for k, v in given.items() if k in strategy.hyperparameters}
        values = strategy.settle(accepted) | {STRATEGY: strategy.name}
        return Stage(
            name=name,
            image=self.settings.images[strategy.container],
            hyperparameters={k: orjson.dumps(v).decode() for k, v in values.items()},
            channels=[_channel(channel, uri) for channel, uri in data.items()],
            output_path=self.store.uri(tenant.prefix("jobs", job.id, str(job.attempt)) + "/"),
            checkpoint_path=self.store.uri(tenant.prefix("jobs", job.id, "checkpoints", stage) + "/"),
            instance_type=self.settings.instance_type or str(resources["instance_type"]),
            volume_gb=int(resources["volume_gb"]),
            max_runtime_s=min(int(resources["max_runtime_s"]), job.max_runtime_s or _NO_LIMIT_S),
        )

    def _stage_key(self, tenant: Tenant, job: Job, stage: str) -> str:
        name = job_name(job.id, job.attempt, stage)
        return tenant.prefix("jobs", job.id, str(job.attempt), name, "output", "model") + "/"

    def _stage_uri(self, tenant: Tenant, job: Job, stage: str) -> str:
        return self.store.uri(self._stage_key(tenant, job, stage))

    def model_uri(self, tenant: Tenant, job: Job) -> str:
        """The folder that an endpoint serves."""
        return self._stage_uri(tenant, job, "gguf")

    def _fit(self, tenant: Tenant, job: Job) -> Fit:
        snapshot = self.corpus.load_snapshot(tenant, job.snapshot_id)
        lines = self.store.get(snapshot.keys["train"] + "data.jsonl").splitlines()
        pairs = [orjson.loads(line) for line in lines]
        return Fit.of([pair["source"] for pair in pairs], [pair["target"] for pair in pairs])


_FRAME = re.compile(r"^AlgorithmError: (.+?),? exit code: \d+$", re.DOTALL)
"""What SageMaker puts round the sentence that a container left in output/failure."""
_NO_LIMIT_S = 28 * 24 * 3600  # what SageMaker itself allows
_OPEN = (JobState.PENDING, JobState.QUEUED, JobState.RUNNING)


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _sources(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    return {stage: manifest.source_sha256 for stage, manifest in manifests.items()}


SENTENCE_CHARACTERS = 1_000


def sentence_of(error: Any) -> str:
    """One sentence from what Step Functions caught: {"Error": ..., "Cause": text or JSON}."""
    told = _told(error)
    return told if len(told) <= SENTENCE_CHARACTERS else told[: SENTENCE_CHARACTERS - 1] + "…"


def _told(error: Any) -> str:
    if not isinstance(error, Mapping):
        return "The training failed without a reason."
    cause = str(error.get("Cause") or "")
    try:
        told = orjson.loads(cause)
    except orjson.JSONDecodeError:
        return cause or f"The training failed with {error.get('Error', 'an unknown error')}."
    if isinstance(told, Mapping):
        for name in ("FailureReason", "errorMessage", "Message"):
            if told.get(name):
                return _FRAME.sub(r"\1", str(told[name]))
        if told.get("SecondaryStatus") == "MaxRuntimeExceeded":
            return "The container was stopped: it ran for longer than its time limit."
        if told.get("TrainingJobStatus") == "Stopped":
            return "The container was stopped before it had finished."
    return cause or f"The training failed with {error.get('Error', 'an unknown error')}."
