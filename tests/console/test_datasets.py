"""The view `datasets`: an archive goes to storage in parts, goes on after a stop, and what was found in it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from millrace import aws
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import Watched
from tests.functions.conftest import CONTEXT
from tests.loopback import Served
from tests.millrace.datasets.archives import picture, zipped

ANIMALS = {f"{name}/{n}.png": picture(n, size=(40, 30)) for name in ("cat", "dog") for n in range(3)}


class Storage:
    """S3, as the page reaches it by presigned addresses."""

    def __init__(self, api: Served) -> None:
        self.bucket = api.settings.data_bucket
        self.parts: list[int] = []
        self.cut = False

    def answer(self, route: Route) -> None:
        at = urlsplit(route.request.url)
        query = {name: values[0] for name, values in parse_qs(at.query).items()}
        key = at.path.removeprefix(f"/{self.bucket}").removeprefix("/")
        allowed = {"access-control-allow-origin": "*", "access-control-allow-methods": "PUT, GET"}
        if self.cut:
            route.abort()
        elif route.request.method == "PUT":
            body, number = route.request.post_data_buffer or b"", int(query["partNumber"])
            given: dict[str, Any] = {"Bucket": self.bucket, "Key": key, "UploadId": query["uploadId"]}
            aws.s3().upload_part(**given, PartNumber=number, Body=body)
            self.parts.append(number)
            route.fulfill(status=200, headers=allowed)
        elif route.request.method == "GET":
            body = aws.s3().get_object(Bucket=self.bucket, Key=key)["Body"].read()
            route.fulfill(status=200, body=body, content_type="image/webp", headers=allowed)
        else:
            route.fulfill(status=200, headers=allowed)


@pytest.fixture
def storage(console: Watched, api: Served) -> Iterator[Storage]:
    made = Storage(api)
    console.page.route(lambda url: "X-Amz-Signature" in url, made.answer)
    yield made
    console.page.unroute_all(behavior="ignoreErrors")


def sent(page: Page, file: Path, name: str | None = None) -> None:
    page.get_by_label("ZIP of images").set_input_files(file)
    if name:
        page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Send", exact=True).click()


def planned(api: Served) -> tuple[dict[str, Any], bool]:
    """The machine's first step on the newest dataset: what its steps are given, and whether it goes on."""
    from functions import parts
    from functions.unpack.handler import handler

    dataset = parts.datasets(api.settings).page(api.tenant, 1, None)[0][0]
    work = {"tenant": api.tenant.id, "dataset_id": dataset.id, "attempt": dataset.attempt}
    return work, handler({**work, "step": "plan"}, CONTEXT)["outcome"] == "go"


def finished(api: Served) -> str:
    """All of them."""
    from functions.unpack.handler import handler

    work, goes_on = planned(api)
    if goes_on:
        handler({**work, "step": "look", "slice": 0}, CONTEXT)
        handler({**work, "step": "merge"}, CONTEXT)
    return str(work["dataset_id"])


def archive(folder: Path, members: dict[str, bytes], name: str = "animals.zip") -> Path:
    path = folder / name
    path.write_bytes(zipped(members))
    return path


def test_an_archive_is_sent_and_its_classes_are_shown(
    console: Watched, api: Served, storage: Storage, tmp_path: Path
) -> None:
    page = console.open("datasets")
    sent(page, archive(tmp_path, ANIMALS | {"cat/broken.png": ANIMALS["cat/0.png"][:50]}))
    card = page.locator("li.card").filter(has_text="animals")
    expect(card.get_by_text("Its images are being looked at…")).to_be_visible()

    planned(api)
    expect(card.get_by_text("Its images are being looked at: 0 of 7…")).to_be_visible()
    finished(api)

    expect(card.get_by_text("6 images in 2 classes, 1 rejected")).to_be_visible()
    card.get_by_text("Classes, previews and what was left out").click()
    expect(card.get_by_role("row", name="cat 3")).to_be_visible()
    expect(card.get_by_role("img", name="An image of dog").first).to_be_visible()
    loaded = "image => image.complete && image.naturalWidth > 0"
    assert card.get_by_role("img", name="An image of dog").first.evaluate(loaded)
    expect(card.get_by_role("row", name="cat/broken.png")).to_be_visible()
    assert storage.parts == [1] and console.complaints == []


def test_an_upload_that_was_cut_off_goes_on_when_the_same_file_is_sent(
    console: Watched, api: Served, storage: Storage, tmp_path: Path
) -> None:
    from functions import parts

    page, file = console.open("datasets"), archive(tmp_path, ANIMALS)
    storage.cut = True
    sent(page, file)
    expect(page.get_by_role("progressbar", name="Sending animals.zip")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_contain_text("Send the same file again")
    storage.cut = False

    page.get_by_role("button", name="Send", exact=True).click()

    expect(page.get_by_text("Its images are being looked at…")).to_be_visible()
    assert len(parts.datasets(api.settings).page(api.tenant, 10, None)[0]) == 1


def test_a_refused_archive_says_why(console: Watched, api: Served, storage: Storage, tmp_path: Path) -> None:
    page = console.open("datasets")
    sent(page, archive(tmp_path, {"loose.png": picture()}), "odd")
    expect(page.get_by_text("Its images are being looked at…")).to_be_visible()

    finished(api)

    expect(page.locator("li.card").get_by_text("No classes: put the images into one folder")).to_be_visible()


def test_a_dataset_is_deleted_after_a_second_thought(
    console: Watched, api: Served, storage: Storage, tmp_path: Path
) -> None:
    page = console.open("datasets")
    sent(page, archive(tmp_path, ANIMALS))
    expect(page.get_by_text("Its images are being looked at…")).to_be_visible()
    finished(api)
    card = page.locator("li.card").filter(has_text="animals")
    expect(card.get_by_text("6 images")).to_be_visible()

    card.get_by_text("About this dataset").click()
    card.get_by_role("button", name="Delete…").click()
    card.get_by_role("button", name="Yes, delete it for good").click()

    expect(page.get_by_text("There is no dataset yet.")).to_be_visible()
    assert "Versions" not in aws.s3().list_object_versions(Bucket=api.settings.data_bucket)


def test_a_dropped_archive_of_images_leads_to_its_dataset(console: Watched, api: Served) -> None:
    from millrace.intake import Dropped

    from functions import parts

    bucket, key = api.settings.drop_bucket, f"{api.tenant.drop_prefix}animals.zip"
    version = aws.s3().put_object(Bucket=bucket, Key=key, Body=zipped(ANIMALS))["VersionId"]
    assert parts.dropped_images(api.settings).take(api.tenant, Dropped(bucket, key, version)) is not None
    page = console.open("drops")

    page.locator("li.card").filter(has_text="animals.zip").get_by_role("link", name="dataset").click()

    expect(page.get_by_role("heading", name="Datasets")).to_be_visible()
    expect(page.get_by_role("heading", name="animals", exact=True)).to_be_visible()
