"""The use-cases, put together from a function's settings; once per process.

Each is imported by who asks for it: no function needs all of them, and a cold start pays for every module. What a
function needs at each of its events its handler imports itself, while the function starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from millrace import aws
from millrace.table import Table

if TYPE_CHECKING:
    from millrace.admission import Admission
    from millrace.artifacts import Store
    from millrace.browsing import Browser
    from millrace.catalogue import Catalogue
    from millrace.classifying import Classifying
    from millrace.corpus import Corpus
    from millrace.datapolicy import Policies
    from millrace.datasets.dropped import DroppedImages
    from millrace.datasets.intake import Intake as Images
    from millrace.datasets.repository import Datasets
    from millrace.deployment import Deployment, Sweep
    from millrace.erasure import Erasure
    from millrace.exports import Exports
    from millrace.files import Files
    from millrace.indexing import Index
    from millrace.intake import Intake
    from millrace.joblog import JobLog
    from millrace.jobs import Jobs
    from millrace.pipeline import Pipeline
    from millrace.policies import Collection
    from millrace.proposals import Ask
    from millrace.queues import Queue
    from millrace.registry import Registry
    from millrace.rewrites import Rewrites
    from millrace.searching import Searching
    from millrace.serving import Serving
    from millrace.settings import Gateway, Ingest, Rewrite, Steps, Storage, Unpack
    from millrace.settings import Training as TrainingSettings
    from millrace.tenants import Tenant
    from millrace.training import Training


@cache
def table(settings: Storage) -> Table:
    return Table(aws.dynamodb(), settings.table)


@cache
def store(settings: Storage) -> Store:
    from millrace.artifacts import Store

    return Store(aws.s3(), settings.data_bucket)


@cache
def policies(settings: Storage) -> Policies:
    from millrace.datapolicy import Policies

    return Policies(table(settings))


def corpus(settings: Storage) -> Corpus:
    from millrace.corpus import Corpus

    return Corpus(table(settings), store(settings), policies(settings))


def jobs(settings: TrainingSettings) -> Jobs:
    from millrace.jobs import Jobs

    prefix = f"millrace-{settings.stage}"
    return Jobs(table(settings), prefix, settings.train_machine, aws.stepfunctions(), aws.sagemaker())


def joblog(settings: Storage) -> JobLog:
    from millrace.joblog import JobLog

    return JobLog(table(settings))


def admission(settings: TrainingSettings) -> Admission:
    from millrace.admission import Admission, Limits

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
    from millrace.training import Training

    return Training(corpus(settings), jobs(settings), settings.max_jobs, settings.instance_type)


def collection(settings: TrainingSettings) -> Collection:
    from millrace.policies import Collection

    return Collection(table(settings), training(settings), settings.train_threshold)


def registry(settings: Storage) -> Registry:
    from millrace.registry import Registry

    return Registry(table(settings))


def catalogue(settings: Storage) -> Catalogue:
    from millrace.catalogue import Catalogue

    return Catalogue(table(settings))


def intake(settings: Storage) -> Intake:
    from millrace.intake import Intake

    return Intake(table(settings), corpus(settings), store(settings), aws.s3())


def rewrites(settings: Gateway | Rewrite) -> Rewrites:
    from millrace.queues import Queue
    from millrace.rewrites import Rewrites

    return Rewrites(table(settings), store(settings), Queue(aws.sqs(), settings.rewrite_queue))


@cache
def collecting(settings: Ingest) -> Intake:
    """The intake of the function that collects: it tells when a drop has ended."""
    from millrace.events import Events

    return replace(intake(settings), events=Events(aws.events()))


@cache
def ingest_queue(settings: Ingest) -> Queue:
    from millrace.queues import Queue

    return Queue(aws.sqs(), settings.ingest_queue)


def datasets(settings: Unpack, concluding: bool = False) -> Datasets:
    """`concluding`: for who may bring an intake to its end, and then tells it."""
    from millrace.datasets.repository import Datasets
    from millrace.datasets.uploads import Uploads
    from millrace.events import Events

    uploads = Uploads(aws.s3(), aws.s3(), settings.data_bucket)
    events = Events(aws.events()) if concluding else None
    return Datasets(table(settings), uploads, settings.unpack_machine, aws.stepfunctions(), events)


def dropped_images(settings: Unpack) -> DroppedImages:
    from millrace.datasets.dropped import DroppedImages

    return DroppedImages(table(settings), datasets(settings))


def images(settings: Unpack, concluding: bool = False) -> Images:
    from millrace.datasets.intake import Intake as Images

    return Images(datasets(settings, concluding), store(settings))


def files(settings: Storage) -> Files:
    from millrace.files import Files

    return Files(intake(settings), settings.data_bucket)


def pipeline(settings: Steps) -> Pipeline:
    from millrace.pipeline import Pipeline

    return Pipeline(settings, corpus(settings), store(settings), jobs(settings), registry(settings))


def classifying(settings: Storage) -> Classifying:
    from millrace.classifying import Classifying
    from millrace.serving import endpoint_name

    return Classifying(registry(settings), aws.sagemaker_runtime(), partial(endpoint_name, settings.stage))


def searching(settings: Storage, asker: Callable[[Tenant, str], Ask | None] | None = None) -> Searching:
    """`asker`: who is asked for candidates; nobody, where none is named."""
    from millrace.searching import Searching, nobody

    return Searching(store(settings), asker or nobody)


def serving(settings: Steps) -> Serving:
    from millrace.serving import Serving

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
    from millrace.deployment import Sweep
    from millrace.serving import withdraw

    return Sweep(jobs(settings), registry(settings), partial(withdraw, aws.sagemaker(), settings.stage))


def deployment(settings: Steps) -> Deployment:
    from millrace.deployment import Deployment

    return Deployment(pipeline(settings), serving(settings), catalogue(settings))
