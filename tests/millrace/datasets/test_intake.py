"""From an archive to a channel that training reads: counts, what is told of odd files, and what a crash leaves."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from millrace.contract import DatasetState
from millrace.datasets.dataset import Dataset, folder
from millrace.datasets.decoding import Decoder
from millrace.datasets.directory import HostileArchive
from millrace.datasets.merging import Merge
from millrace.errors import Conflict
from millrace.tenants import Tenant
from PIL import Image

from tests.millrace.datasets import digits
from tests.millrace.datasets.archives import Entry, Written, picture, zipped
from tests.millrace.datasets.conftest import Yard
from training_containers.common.images import Images


def opened(yard: Yard, id: str, to: Path) -> Images:
    """The channel, as a container gets it."""
    prefix = folder(yard.tenant, id, "channel") + "/"
    for key in set(yard.keys()):
        if key.startswith(prefix):
            (to / key.removeprefix(prefix)).write_bytes(yard.intake.store.get(key))
    assert {path.name for path in to.iterdir()} == {"archive.zip", "dataset.json", "index.jsonl"}
    return Images.open(to)


def noise(seed: int, format: str = "PNG", size: tuple[int, int] = (12, 12), mode: str = "RGB", **more: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (*reversed(size), 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, format, **more)
    return out.getvalue()


def test_digits_in_class_folders_are_counted_and_read_as_they_were_sent(yard: Yard, tmp_path: Path) -> None:
    dataset = yard.send(digits.class_folders("digits/"))

    assert dataset.state is DatasetState.READY and dataset.total_samples == 1797
    assert dataset.classes == [str(n) for n in range(10)]
    images = opened(yard, dataset.id, tmp_path)
    assert Counter(images.classes[row.label] for row in images.rows) == digits.counts()
    sent = {f"digits/{label}/{n:04}.png": body for n, (label, body) in enumerate(digits.pictures())}
    assert all(images.read(row) == sent[row.path] for row in images.rows)
    assert [row.path for row in images.rows] == sorted(sent)


def test_digits_in_split_folders_keep_their_splits(yard: Yard, tmp_path: Path) -> None:
    dataset = yard.send(digits.split_folders())

    report = yard.intake.report(yard.tenant, dataset.id)
    expected = Counter((str(label), digits.split_of(n)) for n, (label, _) in enumerate(digits.pictures()))
    named = {"train": "train", "validation": "val", "test": "test"}
    found = {(label, named[split]): count for label, by in report["counts"].items() for split, count in by.items()}
    assert found == expected and dataset.total_samples == 1797
    rows = opened(yard, dataset.id, tmp_path).rows
    assert Counter(row.split for row in rows)["train"] == sum(n % 10 < 7 for n in range(1797))


def test_odd_files_are_taken_or_told_as_a_person_would_expect(yard: Yard, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("L", (9, 9), value) for value in (0, 200)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    sixteen = io.BytesIO()
    Image.fromarray(np.full((6, 6), 40_000, dtype=np.uint16)).save(sixteen, "PNG")
    members = {
        "Haustiere/Bär und Löwe/foto 1.png": noise(1),
        "Haustiere/Bär und Löwe/as png.jpg": noise(2),
        "Haustiere/Bär und Löwe/print.jpg": noise(3, "JPEG", mode="CMYK"),
        "Haustiere/Bär und Löwe/turned.jpg": noise(4, "JPEG", (30, 10), exif=exif),
        "Haustiere/cat/moving.gif": moving.getvalue(),
        "Haustiere/cat/deep.png": sixteen.getvalue(),
        "Haustiere/cat/bare": noise(5, "WEBP"),
        "Haustiere/cat/broken.png": noise(6)[:60],
        "Haustiere/cat/nothing.png": b"",
        "Haustiere/cat/words.jpg": b"these are words",
        "Haustiere/cat/notes.txt": b"mine",
        "Haustiere/empty/": b"",
        "__MACOSX/Haustiere/cat/._moving.gif": b"\0",
        "Haustiere/.DS_Store": b"\0",
        "Haustiere/cat/Thumbs.db": b"\0",
    }

    dataset = yard.send(zipped(members))

    report = yard.intake.report(yard.tenant, dataset.id)
    assert dataset.classes == ["Bär und Löwe", "cat"] and dataset.total_samples == 7
    assert (report["hidden"], report["other"], report["rejections"]) == (3, 1, 3)
    reasons = {each["path"].rsplit("/", 1)[1]: each["reason"] for each in report["rejected"]}
    assert reasons.keys() == {"broken.png", "nothing.png", "words.jpg"}
    assert "no image of a kind" in reasons["words.jpg"] and reasons["nothing.png"] == "empty"
    told = {warning["code"] for warning in report["warnings"]}
    assert {"wrong-extension", "cmyk", "turned", "animated", "sixteen-bit", "empty-class"} <= told
    images = opened(yard, dataset.id, tmp_path)
    shapes = {row.path.rsplit("/", 1)[1]: images.decode(row).shape[:2] for row in images.rows}
    assert shapes["turned.jpg"] == (30, 10)
    assert all((row.height, row.width) == shapes[row.path.rsplit("/", 1)[1]] for row in images.rows)


def test_duplicates_are_named_and_those_across_splits_first(yard: Yard) -> None:
    same, other = noise(1), noise(2)
    members = {"train/a/1.png": same, "train/a/2.png": noise(3), "train/b/1.png": other, "train/b/2.png": other}

    dataset = yard.send(zipped(members | {"test/a/9.png": same, "test/b/9.png": noise(4)}))

    report = yard.intake.report(yard.tenant, dataset.id)
    assert (report["duplicates"], report["across_splits"], report["across_classes"]) == (2, 1, 0)
    assert [image["path"] for image in report["duplicate_groups"][0]["images"]] == ["test/a/9.png", "train/a/1.png"]
    assert "duplicates-across-splits" in {warning["code"] for warning in report["warnings"]}


def test_each_class_has_thumbnails_that_are_small_images(yard: Yard) -> None:
    members = {f"{name}/{n}.jpg": noise(n, "JPEG", (300, 200)) for name in ("a", "b") for n in range(12)}

    dataset = yard.send(zipped(members))

    previews = yard.intake.report(yard.tenant, dataset.id)["previews"]
    assert {label: len(keys) for label, keys in previews.items()} == {"a": 8, "b": 8}
    body = yard.intake.store.get(previews["a"][0])
    with Image.open(io.BytesIO(body)) as image:
        assert (image.format, image.size) == ("WEBP", (96, 64)) and len(body) < 8_000


def test_what_merging_keeps_of_thumbnails_does_not_grow_with_slices_or_classes(tmp_path: Path) -> None:
    """D2: a thousand slices bring eight of each class each."""
    with Merge(tmp_path / "merge.db") as merge:
        for number in range(200):
            labels = [f"{number % 100}-{each}" for each in range(20)]
            rows = [{"path": f"{number}/{label}", "sha256": "", "label": label, "split": None} for label in labels]
            seen: dict[str, Any] = {"rows": rows, "rejected": [], "other": 0, "remarks": {}}
            merge.add(seen | {"thumbnails": {label: ["thumbnail"] * 8 for label in labels}})
        merge.settle()

        assert len(merge.classes) == 2_000 and sum(map(len, merge.thumbnails.values())) <= 2_500
        assert {len(found) for found in merge.shown().values()} == {1} and len(merge.shown()) == 200


def test_a_dataset_of_many_classes_with_long_names_becomes_ready(yard: Yard, tmp_path: Path) -> None:
    """D3, D4: 10,000 names of 80 characters are twice what an item holds; here they are fewer, and longer."""
    names = [f"{number:04} " + "\u00fc" * 190 for number in range(1_100)]
    image = picture()

    dataset = yard.send(zipped({f"{name}/1.png": image for name in names}))

    assert (dataset.state, dataset.class_count, dataset.total_samples) == (DatasetState.READY, 1_100, 1_100)
    assert 50 <= len(dataset.classes) < 100 and dataset.classes == names[: len(dataset.classes)]
    assert yard.intake.classes(yard.tenant, dataset) == opened(yard, dataset.id, tmp_path).classes == names


def test_an_item_from_before_counts_its_classes() -> None:
    item = Dataset("d1", "a", "b", DatasetState.READY, "", "", classes=["cat", "dog"]).to_item(Tenant("acme"))
    del item["class_count"]

    assert Dataset.from_item(item).class_count == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (bytes(Written([Entry(b"../x.png", picture())])), "traversal"),
        (bytes(Written([Entry(b"a/1.png", picture(), local={"name": b"b/1.png"})])), "two-stories"),
        (zipped({"a.png": picture()}), "layout"),
        (zipped({"a/1.png": b"no image"}), "no-image"),
        (b"PK but nothing else", "not-a-zip"),
    ],
)
def test_what_cannot_be_taken_ends_in_an_error_with_its_reason(yard: Yard, body: bytes, code: str) -> None:
    dataset = yard.send(body)

    assert dataset.state is DatasetState.ERROR
    assert [reason["code"] for reason in dataset.reasons] == [code]
    assert yard.send(zipped({"a/1.png": picture()})).state is DatasetState.READY


def test_after_an_error_another_archive_may_be_sent_and_nothing_old_is_left(yard: Yard) -> None:
    dataset = yard.send(zipped({"a.png": picture()}))

    again = yard.run(yard.datasets.put(yard.tenant, dataset.id, zipped({"a/1.png": picture()})))

    assert again.state is DatasetState.READY and again.reasons == [] and again.attempt == 2
    assert not [key for key in yard.keys() if "work" in key.split("/")]


def test_an_attempt_goes_on_where_the_last_one_stopped(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace.datasets import indexing, intake

    monkeypatch.setattr(indexing, "SLICE_MEMBERS", 10)
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, digits.class_folders(limit=45))
    work = (yard.tenant, dataset.id, 1)
    yard.intake.plan(*work)
    for number in range(3):
        yard.intake.look(*work, number)
    looked: list[int] = []
    inner = intake.look_at
    monkeypatch.setattr(intake, "look_at", lambda items, *more: looked.append(len(items)) or inner(items, *more))

    again = yard.run(dataset)

    assert again.total_samples == 45 and looked == [10, 5]


@pytest.fixture
def opened_images(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What decoders were given, in their order."""
    given: list[bytes] = []
    inner = Decoder.look

    def look(self: Decoder, body: bytes, thumbnail: bool = False) -> Any:
        given.append(body)
        return inner(self, body, thumbnail)

    monkeypatch.setattr(Decoder, "look", look)
    return given


def test_a_slice_that_takes_longer_than_a_function_may_goes_on_in_the_next(
    yard: Yard, opened_images: list[bytes]
) -> None:
    """D2: nothing is looked at twice, and what becomes of it is what becomes of it in one go."""
    members = {f"{name}/{n}.png": noise(n) for name in ("a", "b") for n in range(12)} | {"a/bad.png": b"words"}
    body = zipped(members)
    whole = yard.intake.report(yard.tenant, yard.send(body).id)
    opened_images.clear()
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, body)
    work = (yard.tenant, dataset.id, 1)
    yard.intake.plan(*work)

    told, left = [yard.datasets.get(yard.tenant, dataset.id).progress], iter([5, 5, 0] * 20)
    while not yard.intake.look(*work, 0, lambda: next(left)):
        told.append(yard.datasets.get(yard.tenant, dataset.id).progress)
    yard.intake.merge(*work)

    assert told == [{"looked": n, "images": 25} for n in range(0, 25, 3)]
    assert len(opened_images) == 25
    found = yard.intake.report(yard.tenant, dataset.id)
    assert {**found, "previews": None} == {**whole, "previews": None}
    assert {label: len(keys) for label, keys in found["previews"].items()} == {"a": 8, "b": 8}
    assert yard.datasets.get(yard.tenant, dataset.id).progress == {}


def test_a_function_that_dies_in_a_slice_loses_what_came_since_its_checkpoint(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, opened_images: list[bytes]
) -> None:
    """D2."""
    monkeypatch.setattr("millrace.datasets.intake.CHECKPOINT_S", 0)
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, digits.class_folders(limit=20))
    work = (yard.tenant, dataset.id, 1)
    yard.intake.plan(*work)

    def killed() -> float:
        if len(opened_images) == 7:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        yard.intake.look(*work, 0, killed)
    opened_images.clear()

    assert yard.run(dataset).total_samples == 20 and len(opened_images) == 13


def test_a_step_that_runs_twice_changes_nothing(yard: Yard) -> None:
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, digits.class_folders(limit=30))
    work = (yard.tenant, dataset.id, 1)
    plans = [yard.intake.plan(*work) for _ in range(2)]
    for _ in range(2):
        yard.intake.look(*work, 0)
    ready = yard.intake.merge(*work)

    assert plans[0] == plans[1] and ready.total_samples == 30
    for late in (lambda: yard.intake.plan(*work), lambda: yard.intake.merge(*work)):
        with pytest.raises(Conflict, match="is over"):
            late()
    assert yard.intake.fail(*work, {"Cause": "too late"}) == ready


def test_a_failed_execution_ends_the_dataset_in_words(yard: Yard) -> None:
    dataset = yard.datasets.put(yard.tenant, yard.draft().id, zipped({"a/1.png": picture()}))

    failed = yard.intake.fail(
        yard.tenant, dataset.id, 1, {"Error": "X", "Cause": json.dumps({"errorMessage": "It broke."})}
    )

    assert failed is not None and failed.state is DatasetState.ERROR
    assert failed.reasons == [{"code": "failed", "text": "It broke."}]


def test_members_lie_where_zipfile_finds_them(yard: Yard, tmp_path: Path) -> None:
    """Against zipfile, with stored members, extra fields and a comment."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.comment = b"from a camera"
        for n in range(20):
            info = zipfile.ZipInfo(f"c{n % 3}/{n}.png")
            info.extra = b"\x99\x99\x04\0abcd" * (n % 4)
            archive.writestr(info, noise(n), (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[n % 2])
    dataset = yard.send(out.getvalue())

    images = opened(yard, dataset.id, tmp_path)
    with zipfile.ZipFile(out) as archive:
        assert {row.path: images.read(row) for row in images.rows} == {n: archive.read(n) for n in archive.namelist()}


def test_a_lie_that_only_inflating_shows_refuses_the_archive() -> None:
    import zlib

    from millrace.datasets.directory import Member
    from millrace.datasets.indexing import inflated

    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = engine.compress(b"x" * 10_000) + engine.flush()

    with pytest.raises(HostileArchive, match="claims"):
        inflated(Member("a/1.png", 0, len(packed), 5_000, 8, 0, 7, 0), packed)
