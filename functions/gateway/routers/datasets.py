"""/api/datasets: image datasets, from the upload to what the intake found."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from millrace.contract import DatasetState
from millrace.datasets import dataset as domain
from millrace.datasets.repository import Wanted
from millrace.datasets.uploads import MAX_ADDRESSES, SMALL_BYTES
from pydantic import BaseModel, Field

from functions import parts
from functions.gateway.caller import Caller, Editor
from functions.gateway.once import Once
from functions.gateway.paging import Paged
from functions.gateway.shapes import Figures, Page, Reason, settings

router = APIRouter(tags=["datasets"], route_class=Once)

Name = Annotated[str, Field(min_length=1, max_length=domain.MAX_NAME)]
Size = Annotated[int, Field(ge=1, description="Bytes of the ZIP archive; up to 100 GB.")]
Fingerprint = Annotated[
    str | None, Field(max_length=128, description="Of the file, as its sender likes; only the same file goes on.")
]
_LISTED_CLASSES = 50


class About(BaseModel):
    name: Name
    domain: Name


class NewName(BaseModel):
    name: Name


class File(BaseModel):
    size_bytes: Size
    fingerprint: Fingerprint = None


class Create(About):
    size_bytes: Annotated[int | None, Field(ge=1, description="Given, an upload of so many bytes is begun.")] = None
    fingerprint: Fingerprint = None


class Upload(BaseModel):
    size_bytes: int
    part_bytes: int
    """Of each part but the last."""
    parts: int
    present: list[int]
    """Numbers of the parts that S3 holds."""
    fingerprint: str | None
    begun_at: str


class Dataset(BaseModel):
    id: str
    name: str
    domain: str
    state: Literal["draft", "processing", "ready", "error"]
    total_samples: int
    classes: list[str]
    """In a list the first 50; all of them where one dataset is asked for."""
    class_count: int
    size_bytes: int
    progress: Figures
    """While it is processed: of so many `images`, so many `looked` at; noted about once a minute."""
    summary: Figures
    """What the intake found, in figures: layout, rejections, duplicates, across_splits, formats, warnings."""
    reasons: list[Reason]
    """Why it ended in an error."""
    uploading: bool
    storage_path: str
    """Folder of its objects."""
    created_at: str
    updated_at: str


class Created(Dataset):
    upload: Upload | None = None


class Numbers(BaseModel):
    numbers: list[int] = Field(min_length=1, max_length=MAX_ADDRESSES)


class Part(BaseModel):
    number: int
    url: str
    """PUT the part's bytes here, within an hour."""
    size_bytes: int


class Parts(BaseModel):
    items: list[Part]


class Rejected(BaseModel):
    path: str
    reason: str


class Report(BaseModel):
    layout: str
    counts: dict[str, dict[str, int]]
    """Class -> split -> images; "unsplit" where the archive names no splits."""
    samples: int
    rejections: int
    rejected: list[Rejected]
    """The first 200; all stand in the report's object."""
    hidden: int
    other: int
    duplicates: int
    across_splits: int
    across_classes: int
    duplicate_groups: list[Figures]
    formats: dict[str, int]
    warnings: list[Reason]
    key: str
    """Of the whole report in the data bucket."""


class Thumbnails(BaseModel):
    label: str
    images: int
    urls: list[str]


class Preview(BaseModel):
    items: list[Thumbnails]


def _shown(caller: Caller, dataset: domain.Dataset, listed: bool = False) -> Dataset:
    classes = dataset.classes[:_LISTED_CLASSES] if listed else parts.images(settings).classes(caller, dataset)
    return Dataset(
        **{name: getattr(dataset, name) for name in _SAME},
        state=dataset.state.value,
        classes=list(classes),
        progress=dict[str, Any](dataset.progress),
        summary=dict(dataset.summary),
        reasons=[Reason.model_validate(reason) for reason in dataset.reasons],
        uploading=dataset.upload is not None,
        storage_path=f"s3://{settings.data_bucket}/{domain.folder(caller, dataset.id)}/",
    )


_SAME = ("id", "name", "domain", "total_samples", "class_count", "size_bytes", "created_at", "updated_at")


def _upload(caller: Caller, dataset: domain.Dataset) -> Upload:
    upload = dataset.upload or {}
    present = parts.datasets(settings).uploads.present(domain.archive_key(caller, dataset.id), upload)
    known = {name: upload.get(name) for name in Upload.model_fields if name != "present"}
    return Upload(present=sorted(present), **known)  # type: ignore[arg-type]


@router.post(
    "/api/datasets", status_code=201, summary="A new dataset, and the upload of its archive where a size is given"
)
def create(request: Create, caller: Editor) -> Created:
    datasets = parts.datasets(settings)
    if request.size_bytes is not None:
        domain.part_bytes(request.size_bytes)
    dataset = datasets.create(caller, str(uuid.uuid4()), request.name, request.domain)
    if request.size_bytes is not None:
        dataset = datasets.begin_upload(caller, dataset.id, request.size_bytes, request.fingerprint)
    shown = _shown(caller, dataset).model_dump()
    return Created(**shown, upload=_upload(caller, dataset) if dataset.upload else None)


@router.get("/api/datasets", summary="Datasets, newest first")
def list_datasets(
    caller: Caller,
    paging: Paged,
    domain: Annotated[str | None, Query(max_length=120)] = None,
    readiness: DatasetState | None = None,
    search: Annotated[
        str | None,
        Query(max_length=200, description="Words of name, domain or classes; of very many classes, the first."),
    ] = None,
) -> Page[Dataset]:
    wanted = Wanted(domain, readiness, search)
    found, following = parts.datasets(settings).page(caller, paging.limit, paging.cursor, wanted)
    return paging.page([_shown(caller, each, listed=True) for each in found], following)


@router.get("/api/datasets/{id}", summary="One dataset")
def get(id: str, caller: Caller) -> Dataset:
    return _shown(caller, parts.datasets(settings).get(caller, id))


@router.put("/api/datasets/{id}", summary="Change name and domain")
def replace(id: str, request: About, caller: Editor) -> Dataset:
    return _shown(caller, parts.datasets(settings).change(caller, id, request.name, request.domain))


@router.patch("/api/datasets/{id}/name", summary="Change the name")
def rename(id: str, request: NewName, caller: Editor) -> Dataset:
    return _shown(caller, parts.datasets(settings).change(caller, id, request.name))


@router.delete("/api/datasets/{id}", status_code=204, summary="Delete a dataset with every object of it")
def delete(id: str, caller: Editor) -> None:
    parts.training(settings).check_unused(caller, id)
    parts.datasets(settings).delete(caller, id)


@router.put("/api/datasets/{id}/archive", summary=f"Send a small ZIP in one piece, up to {SMALL_BYTES // 2**20} MB")
def put_archive(
    id: str, caller: Editor, body: Annotated[bytes, Body(media_type="application/octet-stream", max_length=SMALL_BYTES)]
) -> Dataset:
    return _shown(caller, parts.datasets(settings).put(caller, id, body))


@router.post("/api/datasets/{id}/upload", summary="Begin an upload in parts, or go on with the one that is under way")
def begin_upload(id: str, request: File, caller: Editor) -> Upload:
    return _upload(caller, parts.datasets(settings).begin_upload(caller, id, request.size_bytes, request.fingerprint))


@router.get("/api/datasets/{id}/upload", summary="How far an upload is")
def get_upload(id: str, caller: Editor) -> Upload:
    return _upload(caller, parts.datasets(settings).uploading(caller, id)[0])


@router.post("/api/datasets/{id}/upload/parts", summary="Addresses to put parts to, straight into S3")
def addresses(id: str, request: Numbers, caller: Editor) -> Parts:
    datasets = parts.datasets(settings)
    _, upload = datasets.uploading(caller, id)
    urls = datasets.uploads.addresses(domain.archive_key(caller, id), upload, sorted(set(request.numbers)))
    size, each = int(upload["size_bytes"]), int(upload["part_bytes"])
    return Parts(
        items=[Part(number=n, url=url, size_bytes=domain.part_length(n, size, each)) for n, url in urls.items()]
    )


@router.post(
    "/api/datasets/{id}/upload/complete", summary="All parts are there: put them together and take the archive in"
)
def complete_upload(id: str, caller: Editor) -> Dataset:
    return _shown(caller, parts.datasets(settings).complete_upload(caller, id))


@router.delete("/api/datasets/{id}/upload", summary="Give an upload up and remove its parts")
def abort_upload(id: str, caller: Editor) -> Dataset:
    return _shown(caller, parts.datasets(settings).abort_upload(caller, id))


@router.get("/api/datasets/{id}/report", summary="What the intake found: balance, rejected files, duplicates")
def report(id: str, caller: Caller) -> Report:
    found = parts.images(settings).report(caller, id)
    known = {name: found[name] for name in Report.model_fields if name in found}
    short = {name: found[name][:200] for name in ("rejected", "duplicate_groups", "warnings")}
    return Report(**{**known, **short}, key=domain.folder(caller, id, "report.json"))


@router.get("/api/datasets/{id}/preview", summary="A few thumbnails of each class, as addresses that hold for an hour")
def preview(id: str, caller: Caller) -> Preview:
    found, link = parts.images(settings).report(caller, id), parts.datasets(settings).uploads.link
    return Preview(
        items=[
            Thumbnails(
                label=label,
                images=sum(by.values()),
                urls=[link(key) for key in found.get("previews", {}).get(label, [])],
            )
            for label, by in found["counts"].items()
        ]
    )
