"""The use-cases, put together from a function's settings; once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from millrace import aws
from millrace.admission import Admission, Limits
from millrace.artifacts import Store
from millrace.catalogue import Catalogue
from millrace.classifying import Classifying
from millrace.corpus import Corpus
from millrace.datapolicy import Policies
from millrace.datasets.dropped import DroppedImages
from millrace.datasets.intake import Intake as Images
from millrace.datasets.repository import Datasets
from millrace.datasets.uploads import Uploads
from millrace.deployment import Deployment, Sweep
from millrace.events import Events
from millrace.files import Files
from millrace.intake import Intake
from millrace.joblog import JobLog
from millrace.jobs import Jobs
from millrace.pipeline import Pipeline
from millrace.policies import Collection
from millrace.proposals import Ask
from millrace.queues import Queue
from millrace.registry import Registry
from millrace.rewrites import Rewrites
from millrace.searching import Searching, nobody
from millrace.serving import Serving, endpoint_name, withdraw
from millrace.settings import Gateway, Ingest, Rewrite, Steps, Storage, Unpack
from millrace.settings import Training as TrainingSettings
from millrace.table import Table
from millrace.tenants import Tenant
from millrace.training import Training

if TYPE_CHECKING:
    # Those who rate and compare texts load ten libraries: only the functions that do so import them.
    from millrace.browsing import Browser
    from millrace.erasure import Erasure
    from millrace.exports import Exports
    from millrace.indexing import Index


@cache
def table(settings: Storage) -> Table:
    return Table(aws.dynamodb(), settings.table)


@cache
def store(settings: Storage) -> Store:
    return Store(aws.s3(), settings.data_bucket)


@cache
def policies(settings: Storage) -> Policies:
    return Policies(table(settings))


def corpus(settings: Storage) -> Corpus:
    return Corpus(table(settings), store(settings), policies(settings))


def jobs(settings: TrainingSettings) -> Jobs:
    prefix = f"millrace-{settings.stage}"
    return Jobs(table(settings), prefix, settings.train_machine, aws.stepfunctions(), aws.sagemaker())


def joblog(settings: Storage) -> JobLog:
    return JobLog(table(settings))


def admission(settings: TrainingSettings) -> Admission:
    return Admission(jobs(settings), Limits(settings.max_jobs))


def browser(settings: Storage) -> Browser:
    from millrace.browsing import Browser

    return Browser(corpus(settings))


def exports(settings: Storage) -> Exports:
    from millrace.exports import Exports

    return Exports(table(settings), store(settings), browser(settings))


def index(settings: Storage) -> Index:
    from millrace.indexing import Index

    return Index(table(settings))


def erasure(settings: TrainingSettings) -> Erasure:
    from millrace.erasure import Erasure

    return Erasure(corpus(settings), jobs(settings))


def training(settings: TrainingSettings) -> Training:
    return Training(corpus(settings), jobs(settings), settings.max_jobs, settings.instance_type)


def collection(settings: TrainingSettings) -> Collection:
    return Collection(table(settings), training(settings), settings.train_threshold)


def registry(settings: Storage) -> Registry:
    return Registry(table(settings))


def catalogue(settings: Storage) -> Catalogue:
    return Catalogue(table(settings))


def intake(settings: Storage) -> Intake:
    return Intake(table(settings), corpus(settings), store(settings), aws.s3())


def rewrites(settings: Gateway | Rewrite) -> Rewrites:
    return Rewrites(table(settings), store(settings), Queue(aws.sqs(), settings.rewrite_queue))


@cache
def collecting(settings: Ingest) -> Intake:
    """The intake of the function that collects: rows by the lean wire; it tells when a drop has ended."""
    lean = Table(aws.lean_dynamodb(), settings.table)
    rows = replace(corpus(settings), table=lean)
    return Intake(lean, rows, store(settings), aws.s3(), Events(aws.events()))


@cache
def ingest_queue(settings: Ingest) -> Queue:
    return Queue(aws.sqs(), settings.ingest_queue)


def datasets(settings: Unpack, concluding: bool = False) -> Datasets:
    """`concluding`: for who may bring an intake to its end, and then tells it."""
    uploads = Uploads(aws.s3(), aws.s3_signer(), settings.data_bucket)
    events = Events(aws.events()) if concluding else None
    return Datasets(table(settings), uploads, settings.unpack_machine, aws.stepfunctions(), events)


def dropped_images(settings: Unpack) -> DroppedImages:
    return DroppedImages(table(settings), datasets(settings))


def images(settings: Unpack, concluding: bool = False) -> Images:
    return Images(datasets(settings, concluding), store(settings))


def files(settings: Storage) -> Files:
    return Files(intake(settings), settings.data_bucket)


def pipeline(settings: Steps) -> Pipeline:
    return Pipeline(settings, corpus(settings), store(settings), jobs(settings), registry(settings))


def classifying(settings: Storage) -> Classifying:
    return Classifying(registry(settings), aws.sagemaker_runtime(), partial(endpoint_name, settings.stage))


def searching(settings: Storage, asker: Callable[[Tenant, str], Ask | None] = nobody) -> Searching:
    return Searching(store(settings), asker)


def serving(settings: Steps) -> Serving:
    instance_type = settings.instance_type or "ml.c7i.xlarge"
    return Serving(
        aws.sagemaker(),
        settings.stage,
        settings.images,
        settings.training_role,
        settings.kms_key,
        instance_type,
    )


def sweep(settings: TrainingSettings) -> Sweep:
    return Sweep(jobs(settings), registry(settings), partial(withdraw, aws.sagemaker(), settings.stage))


def deployment(settings: Steps) -> Deployment:
    return Deployment(pipeline(settings), serving(settings), catalogue(settings))
