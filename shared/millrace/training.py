"""From data to a serving model: the use-cases behind the state machine `train`. AWS: through what it is handed.

Everything here may run twice: names are derived, writes are conditioned on the attempt, objects are written whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from . import recovery
from .admission import Admission, Limits, check_priority
from .artifacts import Store, verify
from .clock import now, stamp
from .contract import MANIFEST, STRATEGY, JobState, Manifest, ModelState
from .corpus import Corpus
from .datapoints import Split
from .datasets.dataset import folder
from .errors import Conflict, Corrupt, Forbidden, InvalidInput, NotFound, TrainingFailed, Unavailable
from .fit import Fit
from .forecast import Forecast, forecast, within
from .gate import Subject, Verdict, judge
from .jobs import Job, Jobs, job_name
from .models import Model, check_name
from .registry import Registry
from .settings import Steps
from .strategies import MIN_TRAIN_PAIRS, Strategy, find, following, strategies
from .table import Write
from .tenants import Tenant
from .training_budget import MONTHLY_USD, TrainingBudget

if TYPE_CHECKING:
    from .snapshots import Snapshot

DEFAULT_MODEL_NAME = "humanizer"
AUTO = "auto"
"""As a strategy: the data decide."""
SEARCH = "cnn-search"
REFUSED = "Refused"
SPOT_WAIT_S = 2 * 3600
"""That a spot machine may be waited for, over the time that the container itself may take."""
CLASSIFIER = "classifier"
"""Name of a model of images where none is given."""
DATASET_FILE = "dataset.json"
"""Written last: a channel that has it is whole."""
BASE_PREFIX = "base"
"""s3://<data bucket>/base/<model>/: where `make base` and the twin put base models."""


@dataclass(frozen=True)
class Wanted:
    """A training that somebody asks for."""

    strategy: str = AUTO
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    model_name: str = ""
    """Empty: humanizer, or classifier."""
    max_runtime_s: int | None = None
    """Of each container."""
    priority: str = "normal"
    spot: bool = False
    instance_type: str | None = None
    max_cost_usd: float | None = None
    snapshot_id: str | None = None
    """None: all usable pairs, as they are now."""
    dataset_id: str | None = None
    started_by: str = "person"
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    corpus: Corpus
    jobs: Jobs
    max_jobs: int = 20
    """Of all tenants at once."""
    instance_type: str = ""
    """The one machine that this stage has, where it is not AWS's to choose."""

    @property
    def admission(self) -> Admission:
        return Admission(self.jobs, Limits(self.max_jobs))

    def begin(self, tenant: Tenant, job_id: str, **wanted: Any) -> Job:
        """Somebody asks for a training (see Wanted). A repeat with the same id finds the first one."""
        asked = self._settled(Wanted(**wanted))
        try:
            return self.jobs.get(tenant, job_id)
        except NotFound:
            pass
        counts = self.corpus.counts(tenant)
        snapshot = self._snapshot(tenant, asked)
        all_pairs = snapshot is not None and asked.snapshot_id is None
        job, claims = self._planned(tenant, job_id, asked, snapshot)
        if not self.jobs.create(tenant, job, [*claims, *([self.corpus.claiming(tenant, counts)] if all_pairs else [])]):
            try:
                return self.jobs.get(tenant, job_id)
            except NotFound:
                raise Conflict("Another training claimed these pairs at the same moment; ask again.") from None
        self._admit()
        return self.jobs.get(tenant, job.id)

    def begin_if_due(self, tenant: Tenant, threshold: int, strategy: str = "lora-sft") -> Job | None:
        """Start a training when enough new pairs came; never twice for one snapshot, whoever asks at once.

        None too where it may not cost what it would: the pairs stay new, and a person is told when he asks.
        """
        counts = self.corpus.counts(tenant)
        if threshold <= 0 or counts.fresh < threshold:
            return None
        snapshot = self.corpus.snapshot(tenant, stamp())
        if snapshot.rows["train"] < MIN_TRAIN_PAIRS or not snapshot.rows["test"]:
            return None
        asked = self._settled(Wanted(strategy=strategy, started_by="policy"))
        try:
            job, claims = self._planned(tenant, "j" + snapshot.id.removeprefix("sn"), asked, snapshot)
        except Forbidden:
            return None
        if not self.jobs.create(tenant, job, [*claims, self.corpus.claiming(tenant, counts)]):
            return None
        self._admit()
        return job

    def forecast(self, tenant: Tenant, **wanted: Any) -> dict[str, Any]:
        """What the training would cost and whether it may begin; nothing is begun or held."""
        asked = self._settled(Wanted(**wanted))
        told, limit_s = self._costed(asked, self._rows(self._snapshot(tenant, asked)))
        at = now()
        self._hold(tenant, "forecast", told, limit_s, at)
        committed = TrainingBudget(self.jobs.table).committed_usd(tenant, at)
        return told.to_dict() | {"month_committed_usd": committed, "month_limit_usd": MONTHLY_USD[tenant.tier]}

    def cancel(self, tenant: Tenant, job_id: str) -> Job:
        """End a job now, and give its place to who waits."""
        job = self.jobs.cancel(tenant, job_id)
        self._admit()
        return job

    @staticmethod
    def _settled(asked: Wanted) -> Wanted:
        """What `auto` and an empty name mean for these data. InvalidInput for what can never work."""
        images = asked.dataset_id is not None
        by_data = SEARCH if images else "lora-sft"
        strategy = find(by_data if asked.strategy == AUTO else asked.strategy)
        name = asked.model_name or (CLASSIFIER if images else DEFAULT_MODEL_NAME)
        asked = replace(asked, strategy=strategy.name, model_name=name)
        strategy.settle(asked.hyperparameters)
        check_name(asked.model_name)
        check_priority(asked.priority)
        if (strategy.data == "images") is (asked.dataset_id is None):
            wants = "a dataset of images: give its dataset_id" if asked.dataset_id is None else "pairs, not on images"
            raise InvalidInput(f"{strategy.name} trains on {wants}.")
        return asked

    def _snapshot(self, tenant: Tenant, asked: Wanted) -> Snapshot | None:
        """None for a training on images, which InvalidInput keeps until they are ready."""
        if asked.dataset_id is not None:
            if not self.corpus.store.exists(channel_key(tenant, asked.dataset_id) + DATASET_FILE):
                where = f"GET /api/datasets/{asked.dataset_id} says why"
                raise InvalidInput(f"There is no dataset {asked.dataset_id} that is ready; {where}.")
            self._check_backbone(tenant, asked)
            return None
        given = asked.snapshot_id
        snapshot = self.corpus.load_snapshot(tenant, given) if given else self.corpus.snapshot(tenant, stamp())
        _enough(snapshot.rows)
        return snapshot

    def _check_backbone(self, tenant: Tenant, asked: Wanted) -> None:
        """A version that cannot be one is refused before a job is made."""
        strategy = find(asked.strategy)
        if "base" not in strategy.needs:
            return
        wanted = str(strategy.settle(asked.hyperparameters)["backbone"])
        if "@" in wanted:
            _trained_on_images(Registry(self.jobs.table), tenant, wanted)
        else:
            check_name(wanted)

    @staticmethod
    def _rows(snapshot: Snapshot | None) -> int:
        return snapshot.rows["train"] if snapshot else 0

    def _costed(self, asked: Wanted, rows: int) -> tuple[Forecast, int | None]:
        """The forecast, and how long each container may run so that the job's own cap holds."""
        first = [(find(asked.strategy), asked.instance_type)]
        steps = [(step, None) for step in following(find(asked.strategy), asked.hyperparameters)]
        told = forecast([*first, *steps], rows, self.instance_type, asked.max_runtime_s)
        limit_s = None if asked.max_cost_usd is None else within(told, asked.max_cost_usd)
        return told, limit_s

    def _hold(self, tenant: Tenant, job_id: str, told: Forecast, limit_s: int | None, at: datetime) -> list[Write]:
        amount = told.at_most_usd(limit_s or float("inf"))
        return [TrainingBudget(self.jobs.table).hold(tenant, job_id, amount, at)] if amount else []

    def _planned(
        self, tenant: Tenant, job_id: str, asked: Wanted, snapshot: Snapshot | None
    ) -> tuple[Job, list[Write]]:
        """The job as it is first written, and its hold on the month's money."""
        if snapshot is not None:
            self.corpus.snapshots.link(tenant, snapshot.id, job_id)
        told, limit_s = self._costed(asked, self._rows(snapshot))
        at = now()
        limits = [limit for limit in (limit_s, asked.max_runtime_s) if limit is not None]
        job = Job(
            id=job_id,
            state=JobState.PENDING,
            strategy=asked.strategy,
            attempt=1,
            snapshot_id=snapshot.id if snapshot else None,
            dataset_id=asked.dataset_id,
            model_name=asked.model_name,
            created_at=stamp(at),
            started_by=asked.started_by,
            hyperparameters=find(asked.strategy).settle(asked.hyperparameters),
            max_runtime_s=min(limits, default=None),
            priority=asked.priority,
            spot=asked.spot,
            instance_type=asked.instance_type,
            max_cost_usd=asked.max_cost_usd,
            forecast=told.to_dict(),
            labels=dict(asked.labels),
        )
        return job, self._hold(tenant, job_id, told, limit_s, at)

    def _admit(self) -> None:
        try:
            self.admission.admit()
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
        job = self.jobs.get(tenant, job_id)
        lineage = {} if job.dataset_id else {"base": self.settings.base_model}
        model = self.registry.plan_version(tenant, job, lineage)
        self.jobs.move(tenant, job_id, JobState.RUNNING, attempt, {"stage": "train"}, expect=_OPEN)
        if model.state is ModelState.QUEUED:
            self.registry.move(tenant, model.id, ModelState.TRAINING)
        return self.stages(tenant, replace(job, attempt=attempt)) | {"model": {"id": model.id}}

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
        lineage = _trained_on_images(self.registry, tenant, wanted)
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
        data["base"] = self.store.uri(f"{BASE_PREFIX}/{self.settings.base_model}/")
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
        resources, training = strategy.resources, stage == "train"
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
            volume_gb=int(resources["volume_gb"]),
            spot=bool(waiting),
            stopping={"MaxRuntimeInSeconds": longest_s, **waiting},
        )

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
        lines = self.store.get(snapshot.keys["train"] + "data.jsonl").splitlines()
        pairs = [orjson.loads(line) for line in lines]
        return Fit.of([pair["source"] for pair in pairs], [pair["target"] for pair in pairs])


def channel_key(tenant: Tenant, dataset_id: str | None) -> str:
    """The folder of a dataset that training reads."""
    return folder(tenant, str(dataset_id), "channel") + "/"


def _trained_on_images(registry: Registry, tenant: Tenant, wanted: str) -> Mapping[str, Any]:
    """The lineage of a version that others may be trained from. InvalidInput where it cannot be."""
    lineage = registry.get(tenant, wanted).lineage
    if not lineage.get("dataset_id"):
        raise InvalidInput(f"{wanted} is no image model: a backbone is one, or a folder below {BASE_PREFIX}/.")
    if "attempt" not in lineage:
        raise InvalidInput(f"{wanted} is no backbone: its training has not come to its end.")
    return lineage


def search_key(tenant: Tenant, job: Job) -> str:
    """Where a search keeps its rounds: they are the job's, and not one attempt's."""
    return tenant.prefix("jobs", job.id, "search") + "/"


_JUDGED: Mapping[Subject, str] = {"adapter": "evaluate", "gguf": "gguf", "cnn": "train"}
_NO_LIMIT_S = 28 * 24 * 3600  # what SageMaker itself allows
_OPEN = (JobState.PENDING, JobState.QUEUED, JobState.RUNNING)


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _sources(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    return {stage: manifest.source_sha256 for stage, manifest in manifests.items()}


def _snapshot_id(job: Job) -> str:
    if job.snapshot_id is None:
        raise InvalidInput(f"Training job {job.id} trains on no pairs.")
    return job.snapshot_id
