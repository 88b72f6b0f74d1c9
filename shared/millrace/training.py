"""A training is asked for: what `auto` means, its snapshot, its cost, its place in the queue. AWS: by what it is given.

Anything here may be asked twice: a job is named by who asked, or by the snapshot that policy starts it for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .admission import Admission, Limits, check_priority
from .clock import now, stamp
from .contract import JobState
from .corpus import AT_ONCE, MAX_POINTS, Corpus, Counts
from .datapoints import Split
from .datasets.dataset import folder
from .errors import Conflict, Forbidden, InvalidInput, NotFound, TooLarge, Unavailable
from .forecast import Forecast, forecast, within
from .gate import check_bounds
from .jobs import Job, Jobs
from .models import check_name
from .registry import Registry
from .strategies import MIN_TRAIN_PAIRS, find, following
from .table import Write
from .tenants import Tenant
from .training_budget import MONTHLY_USD, TrainingBudget

if TYPE_CHECKING:
    from .snapshots import Snapshot

DEFAULT_MODEL_NAME = "humanizer"
POLICY = "policy"
"""Who started a training that nobody asked for."""
AUTO = "auto"
"""As a strategy: the data decide."""
SEARCH = "cnn-search"
CLASSIFIER = "classifier"
"""Name of a model of images where none is given."""
DATASET_FILE = "dataset.json"
"""Written last: a channel that has it is whole."""
BASE_PREFIX = "base"
"""s3://<data bucket>/base/<model>/: where `make base` and the twin put base models."""
_BASE = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
"""A name of the hub, or one without an owner."""


@dataclass(frozen=True)
class Wanted:
    """A training that somebody asks for."""

    strategy: str = AUTO
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    model_name: str = ""
    """Empty: humanizer, or classifier."""
    framework: str | None = None
    """For who wants to be sure of it: it follows from the strategy."""
    base_model: str | None = None
    """Folder below base/ that holds what is fine-tuned; None: the stage's own."""
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
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Bounds of the gate that take the place of its own, by metric."""
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
        snapshot = self._snapshot(tenant, asked, counts)
        all_pairs = asked.dataset_id is None and asked.snapshot_id is None
        job, claims = self._planned(tenant, job_id, asked, snapshot, counts)
        if not self.jobs.create(tenant, job, [*claims, *([self.corpus.claiming(tenant, counts)] if all_pairs else [])]):
            try:
                return self.jobs.get(tenant, job_id)
            except NotFound:
                raise Conflict("Another training claimed these pairs at the same moment; ask again.") from None
        self._admit()
        return self.jobs.get(tenant, job.id)

    def begin_if_due(
        self,
        tenant: Tenant,
        threshold: int,
        strategy: str = "lora-sft",
        thresholds: Mapping[str, float] | None = None,
    ) -> Job | None:
        """Start a training when enough new pairs came; never twice for one snapshot, whoever asks at once.

        None too where it may not cost what it would: the pairs stay new, and a person is told when he asks.
        """
        counts = self.corpus.counts(tenant)
        if threshold <= 0 or counts.fresh < threshold:
            return None
        asked = self._settled(Wanted(strategy=strategy, started_by=POLICY, thresholds=thresholds or {}))
        if counts.standing < MIN_TRAIN_PAIRS or not self._affordable(tenant, asked, counts):
            return None
        snapshot = self._taken(tenant, counts)
        if snapshot and (snapshot.rows["train"] < MIN_TRAIN_PAIRS or not snapshot.rows["test"]):
            return None
        job_id = "j" + (snapshot.id.removeprefix("sn") if snapshot else _named(tenant, counts))
        try:
            job, claims = self._planned(tenant, job_id, asked, snapshot, counts)
        except Forbidden:
            return None
        if not self.jobs.create(tenant, job, [*claims, self.corpus.claiming(tenant, counts)]):
            return None
        self._admit()
        return job

    def _affordable(self, tenant: Tenant, asked: Wanted, counts: Counts) -> bool:
        """Asked before all pairs are read: while there is no money every new one would have them read again."""
        least = replace(counts, usable=MIN_TRAIN_PAIRS, removed=0)
        told, limit_s = self._costed(asked, self._rows(tenant, asked, None, least))
        try:
            self._hold(tenant, "forecast", told, limit_s, now())
        except Forbidden:
            return False
        return True

    def forecast(self, tenant: Tenant, **wanted: Any) -> dict[str, Any]:
        """What the training would cost and whether it may begin; nothing is begun or held."""
        asked = self._settled(Wanted(**wanted))
        counts = self.corpus.counts(tenant)
        told, limit_s = self._costed(asked, self._rows(tenant, asked, self._snapshot(tenant, asked, counts), counts))
        at = now()
        self._hold(tenant, "forecast", told, limit_s, at)
        committed = TrainingBudget(self.jobs.table).committed_usd(tenant, at)
        return told.to_dict() | {"month_committed_usd": committed, "month_limit_usd": MONTHLY_USD[tenant.tier]}

    def check_unused(self, tenant: Tenant, dataset_id: str) -> None:
        """Conflict while a training reads the dataset's images or waits for its turn to."""
        for job_id in self.jobs.working_on(tenant, dataset_id):
            raise Conflict(f"Training job {job_id} trains on this dataset; cancel it or wait for its end, then delete.")

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
        if asked.framework not in (None, strategy.framework):
            raise InvalidInput(f"{strategy.name} trains with {strategy.framework}, not with {asked.framework}.")
        if asked.base_model is not None and strategy.data == "images":
            raise InvalidInput(f"{strategy.name} has no base_model; cnn-transfer has a hyperparameter backbone.")
        check_bounds(strategy.data, asked.thresholds)
        return asked

    def _snapshot(self, tenant: Tenant, asked: Wanted, counts: Counts) -> Snapshot | None:
        """None for a training on images, which InvalidInput keeps until they are ready, and as `_taken`."""
        if asked.dataset_id is not None:
            if not self.corpus.store.exists(channel_key(tenant, asked.dataset_id) + DATASET_FILE):
                where = f"GET /api/datasets/{asked.dataset_id} says why"
                raise InvalidInput(f"There is no dataset {asked.dataset_id} that is ready; {where}.")
            self._check_backbone(tenant, asked)
            return None
        self._check_base(asked.base_model)
        given = asked.snapshot_id
        snapshot = self.corpus.load_snapshot(tenant, given) if given else self._taken(tenant, counts)
        if snapshot is not None:
            check_enough(snapshot.rows)
        return snapshot

    def _taken(self, tenant: Tenant, counts: Counts) -> Snapshot | None:
        """Everything usable now; None where that is too much to wait for, and the job's first step takes it."""
        if counts.standing > MAX_POINTS:
            raise TooLarge(f"There are more than {MAX_POINTS:,} data points; no more are read for one snapshot.")
        if counts.standing > AT_ONCE:
            return None
        try:
            return self.corpus.snapshot(tenant, stamp(), most=AT_ONCE)
        except TooLarge:
            return None

    def _check_base(self, wanted: str | None) -> None:
        """A base that is not there is told before a machine is paid for."""
        if wanted is None:
            return
        if not _BASE.fullmatch(wanted):
            raise InvalidInput(f"A base model is a folder below {BASE_PREFIX}/, such as microsoft/phi-2: {wanted!r}.")
        if not self.corpus.store.exists(f"{BASE_PREFIX}/{wanted}/config.json"):
            raise InvalidInput(f"There is no base model {wanted}: {BASE_PREFIX}/{wanted}/ holds no config.json.")

    def _check_backbone(self, tenant: Tenant, asked: Wanted) -> None:
        """A version that cannot be one is refused before a job is made."""
        strategy = find(asked.strategy)
        if "base" not in strategy.needs:
            return
        wanted = str(strategy.settle(asked.hyperparameters)["backbone"])
        if "@" in wanted:
            trained_on_images(Registry(self.jobs.table), tenant, wanted)
        else:
            check_name(wanted)

    def _rows(self, tenant: Tenant, asked: Wanted, snapshot: Snapshot | None, counts: Counts) -> int:
        """Images, or pairs in the training split: as many as there may be where no snapshot is taken yet."""
        if asked.dataset_id is not None:
            return int(self.corpus.store.get_json(channel_key(tenant, asked.dataset_id) + DATASET_FILE)["samples"])
        return snapshot.rows["train"] if snapshot else min(counts.standing, MAX_POINTS) * 8 // 10

    def _costed(self, asked: Wanted, rows: int) -> tuple[Forecast, int | None]:
        """The forecast, and how long each container may run so that the job's own cap holds."""
        strategy = find(asked.strategy)
        chosen = asked.instance_type if strategy.name == SEARCH else None  # the rounds and the end of one
        steps = [(step, chosen) for step in following(strategy, asked.hyperparameters)]
        first, given = (strategy, asked.instance_type), strategy.settle(asked.hyperparameters)
        told = forecast([first, *steps], rows, self.instance_type, asked.max_runtime_s, given)
        limit_s = None if asked.max_cost_usd is None else within(told, asked.max_cost_usd)
        return told, limit_s

    def _hold(self, tenant: Tenant, job_id: str, told: Forecast, limit_s: int | None, at: datetime) -> list[Write]:
        amount = told.at_most_usd(limit_s or float("inf"))
        return [TrainingBudget(self.jobs.table).hold(tenant, job_id, amount, at)] if amount else []

    def _planned(
        self, tenant: Tenant, job_id: str, asked: Wanted, snapshot: Snapshot | None, counts: Counts
    ) -> tuple[Job, list[Write]]:
        """The job as it is first written, and its hold on the month's money."""
        if snapshot is not None:
            self.corpus.snapshots.link(tenant, snapshot.id, job_id)
        told, limit_s = self._costed(asked, self._rows(tenant, asked, snapshot, counts))
        at = now()
        limits = [limit for limit in (limit_s, asked.max_runtime_s) if limit is not None]
        job = Job(
            id=job_id,
            state=JobState.PENDING,
            strategy=asked.strategy,
            attempt=1,
            snapshot_id=snapshot.id if snapshot else None,
            dataset_id=asked.dataset_id,
            base_model=asked.base_model,
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
            thresholds=dict(asked.thresholds),
            labels=dict(asked.labels),
        )
        return job, self._hold(tenant, job_id, told, limit_s, at)

    def _admit(self) -> None:
        try:
            self.admission.admit()
        except Unavailable:
            return  # the job stands, and the sweeper starts it


def _named(tenant: Tenant, counts: Counts) -> str:
    """What policy's training on all up to this count is called, whoever begins it."""
    return hashlib.sha256(f"{tenant.id}#{counts.usable}".encode()).hexdigest()[:20]


def check_enough(rows: Mapping[Split, int]) -> None:
    """InvalidInput for a snapshot that trains nothing worth its name."""
    if rows["train"] < MIN_TRAIN_PAIRS or not rows["test"]:
        raise InvalidInput(
            f"A training needs at least {MIN_TRAIN_PAIRS} usable pairs in the training split (about 80 % of all) and "
            f"one in the test split; there are {rows['train']} and {rows['test']}. Drop more pairs."
        )


def channel_key(tenant: Tenant, dataset_id: str | None) -> str:
    """The folder of a dataset that training reads."""
    return folder(tenant, str(dataset_id), "channel") + "/"


def trained_on_images(registry: Registry, tenant: Tenant, wanted: str) -> Mapping[str, Any]:
    """The lineage of a version that others may be trained from. InvalidInput where it cannot be."""
    lineage = registry.get(tenant, wanted).lineage
    if not lineage.get("dataset_id"):
        raise InvalidInput(f"{wanted} is no image model: a backbone is one, or a folder below {BASE_PREFIX}/.")
    if "attempt" not in lineage:
        raise InvalidInput(f"{wanted} is no backbone: its training has not come to its end.")
    return lineage
