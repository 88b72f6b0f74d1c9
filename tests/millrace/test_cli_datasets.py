"""`millrace datasets`: an upload that is interrupted goes on, and what the intake found is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from millrace import aws
from millrace.cli import sending
from millrace.cli.app import app
from typer.testing import CliRunner, Result

from tests.conftest import ENVIRONMENT
from tests.functions.conftest import CONTEXT
from tests.loopback import Served, served
from tests.millrace.datasets.archives import picture, zipped

Run = Callable[..., Result]
BUCKET = ENVIRONMENT["MILLRACE_DATA_BUCKET"]


class Cut(BaseException):
    """The power went."""


class Wire:
    """Takes what goes to a presigned address; after `lasts` parts the line is cut."""

    def __init__(self) -> None:
        self.parts: list[int] = []
        self.lasts = 1000

    def put(self, url: str, body: bytes) -> None:
        if len(self.parts) >= self.lasts:
            raise Cut
        at = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(at.query).items()}
        number, key = int(query["partNumber"]), at.path.removeprefix(f"/{BUCKET}").removeprefix("/")
        aws.s3().upload_part(Bucket=BUCKET, Key=key, UploadId=query["uploadId"], PartNumber=number, Body=body)
        self.parts.append(number)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served() as up:
        monkeypatch.setenv("MILLRACE_API", up.url)
        yield up


@pytest.fixture
def wire(api: Served, monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(sending, "_put", made.put)
    monkeypatch.setattr(sending, "AT_ONCE", 1)
    return made


@pytest.fixture
def run(api: Served) -> Run:
    return lambda *words: CliRunner().invoke(app, ["datasets", *words], catch_exceptions=False)


def sent(run: Run, file: Path, *words: str) -> dict[str, object]:
    done = run("upload", str(file), "--wait-s", "0", "--json", *words)
    assert done.exit_code == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def finished(id: object) -> None:
    """The steps of the machine."""
    from functions.unpack.handler import handler

    work = {"tenant": "demo", "dataset_id": id, "attempt": 1}
    if handler({**work, "step": "plan"}, CONTEXT)["outcome"] == "go":
        handler({**work, "step": "look", "slice": 0}, CONTEXT)
        handler({**work, "step": "merge"}, CONTEXT)


def test_an_upload_that_was_cut_off_goes_on_by_the_same_command(run: Run, wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "large.zip"
    with file.open("wb") as out:
        out.truncate(20 * 2**20)
    wire.lasts = 2
    with pytest.raises(Cut):
        run("upload", str(file))
    wire.lasts = 1000

    done = sent(run, file)

    assert wire.parts == [1, 2, 3] and done["state"] == "processing" and done["size_bytes"] == 20 * 2**20
    assert len(json.loads(run("list", "--json").stdout)["items"]) == 1


def test_a_changed_file_does_not_go_on_with_an_upload(run: Run, wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(b"x" * 100)
    wire.lasts = 0
    with pytest.raises(Cut):
        run("upload", str(file))
    wire.lasts = 1000
    file.write_bytes(b"y" * 100)

    first = json.loads(run("list", "--json").stdout)["items"][0]["id"]
    again = run("upload", str(file), "--id", first)

    assert again.exit_code == 1 and "another file" in again.stderr


def test_what_was_found_is_shown_and_a_deleted_dataset_is_gone(run: Run, wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "animals.zip"
    file.write_bytes(zipped({f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(2)}))
    id = str(sent(run, file, "--domain", "zoo")["id"])
    finished(id)

    shown = run("show", id).stdout
    listed = run("list", "--readiness", "ready").stdout

    assert "ready" in shown and "2 images lie in more than one class" in shown
    assert [line.split() for line in shown.splitlines()[-2:]] == [["cat", "2"], ["dog", "2"]]
    assert id in listed and "animals" in listed
    assert run("delete", id).exit_code == 0 and run("show", id).exit_code == 1


def test_a_refused_archive_says_why(run: Run, wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "odd.zip"
    file.write_bytes(zipped({"loose.png": picture()}))
    finished(sent(run, file)["id"])

    assert "No classes" in run("list").stdout


def test_a_file_that_is_not_there_is_said(run: Run) -> None:
    done = run("upload", "nowhere.zip")

    assert done.exit_code == 1 and "There is no file" in done.stderr
