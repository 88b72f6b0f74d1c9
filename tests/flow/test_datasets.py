"""Archives of images on the running twin: dropped or uploaded, through the state machine, to what training reads."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.flow.turning import Turning, until
from tests.millrace.datasets import digits
from tests.millrace.datasets.archives import Entry, Written, picture, zipped
from training_containers.common.images import Images

pytestmark = pytest.mark.twin


def uploaded(turning: Turning, name: str, body: bytes) -> dict[str, Any]:
    """Created, sent to S3 by presigned addresses, completed; and what it became."""
    made = turning.api.post("/api/datasets", {"name": name, "domain": "tests", "size_bytes": len(body)})
    path, each = f"/api/datasets/{made['id']}/upload", made["upload"]["part_bytes"]
    numbers = [n for n in range(1, made["upload"]["parts"] + 1) if n not in made["upload"]["present"]]
    for part in turning.api.post(f"{path}/parts", {"numbers": numbers})["items"]:
        piece = body[(part["number"] - 1) * each :][: part["size_bytes"]]
        request = urllib.request.Request(part["url"], piece, {"content-type": ""}, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
    turning.api.post(f"{path}/complete", {})
    return concluded(turning, made["id"])


def concluded(turning: Turning, id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = turning.api.get(f"/api/datasets/{id}")
        return found if found["state"] in ("ready", "error") else None

    done: dict[str, Any] = until(look, f"the intake of {id}", within_s=90)
    return done


def channel(turning: Turning, dataset: dict[str, Any], to: Path) -> Images:
    bucket, _, prefix = dataset["storage_path"].removeprefix("s3://").partition("/")
    s3 = turning.aws("s3")
    for found in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}channel/")["Contents"]:
        s3.download_file(bucket, found["Key"], str(to / found["Key"].rsplit("/", 1)[1]))
    return Images.open(to)


def test_digits_in_class_folders_are_dropped_and_become_ready(turning: Turning, tmp_path: Path) -> None:
    """D2, D3: from the drop folder, with counts that match."""
    key = turning.drop("handwriting/digits.zip", digits.class_folders("digits/"))
    (drop,) = turning.collected(key)

    dataset = concluded(turning, drop["dataset_id"])

    assert (dataset["state"], dataset["name"], dataset["domain"]) == ("ready", "digits", "handwriting")
    assert dataset["total_samples"] == 1797 and dataset["classes"] == [str(n) for n in range(10)]
    report = turning.api.get(f"/api/datasets/{dataset['id']}/report")
    assert {label: by["unsplit"] for label, by in report["counts"].items()} == digits.counts()
    images = channel(turning, dataset, tmp_path)
    assert Counter(images.classes[row.label] for row in images.rows) == digits.counts()
    assert images.decode(images.rows[0], 8, 1).shape == (8, 8, 1)


def test_digits_in_split_folders_are_uploaded_in_parts_and_become_ready(turning: Turning) -> None:
    """D1, D3: straight to S3, with splits that match."""
    dataset = uploaded(turning, "digits by split", digits.split_folders())

    report = turning.api.get(f"/api/datasets/{dataset['id']}/report")
    named = {"train": "train", "validation": "val", "test": "test"}
    found = {(label, named[split]): count for label, by in report["counts"].items() for split, count in by.items()}
    assert found == Counter((str(label), digits.split_of(n)) for n, (label, _) in enumerate(digits.pictures()))
    preview = turning.api.get(f"/api/datasets/{dataset['id']}/preview")["items"]
    assert [len(item["urls"]) for item in preview] == [8] * 10
    with urllib.request.urlopen(preview[0]["urls"][0], timeout=30) as answer:
        assert Image.open(io.BytesIO(answer.read())).format == "WEBP"


def test_odd_archives_end_as_a_person_would_expect(turning: Turning) -> None:
    """D3: a nested root, spaces and umlauts, one corrupt file, an empty class."""
    members = {
        "Meine Bilder (Größe 1)/Bär & Löwe/Foto Nr. 1.png": picture(1),
        "Meine Bilder (Größe 1)/Bär & Löwe/Foto Nr. 2.png": picture(2),
        "Meine Bilder (Größe 1)/Katze/schön.png": picture(3),
        "Meine Bilder (Größe 1)/Katze/kaputt.png": picture(4)[:40],
        "Meine Bilder (Größe 1)/leer/": b"",
        "__MACOSX/._x": b"\0",
    }

    dataset = uploaded(turning, "Größe", zipped(members))

    report = turning.api.get(f"/api/datasets/{dataset['id']}/report")
    assert (dataset["state"], dataset["classes"], dataset["total_samples"]) == ("ready", ["Bär & Löwe", "Katze"], 3)
    assert [each["path"].rsplit("/", 1)[1] for each in report["rejected"]] == ["kaputt.png"]
    assert "empty-class" in {warning["code"] for warning in report["warnings"]} and report["hidden"] == 1


def test_a_hostile_archive_is_refused_with_its_reason(turning: Turning) -> None:
    """D2."""
    hostile = bytes(Written([Entry(b"cat/1.png", picture()), Entry(b"../../etc/x.png", picture())]))

    dataset = uploaded(turning, "hostile", hostile)

    assert (dataset["state"], dataset["reasons"][0]["code"]) == ("error", "traversal")


def test_an_archive_of_several_slices_goes_through_the_distributed_map(turning: Turning) -> None:
    """D2: each slice is an execution of its own, and all of them add up."""
    out = io.BytesIO()
    small = [body for _, body in digits.pictures()]
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(4_100):
            archive.writestr(f"{n % 3}/{n}.png", small[n % len(small)])

    dataset = uploaded(turning, "slices", out.getvalue())

    assert (dataset["state"], dataset["total_samples"]) == ("ready", 4_100)
    assert dataset["summary"]["duplicates"] == 4_100 - len(set(small))
    machine = turning.outputs["UnpackMachineArn"]
    states = turning.aws("stepfunctions")
    run = next(e for e in states.list_executions(stateMachineArn=machine)["executions"] if dataset["id"] in e["name"])
    assert run["status"] == "SUCCEEDED"
    slices = states.list_map_runs(executionArn=run["executionArn"])["mapRuns"]
    counts = [states.describe_map_run(mapRunArn=each["mapRunArn"])["itemCounts"] for each in slices]
    assert [(count["total"], count["succeeded"]) for count in counts] == [(3, 3)]


def test_deleting_leaves_nothing_of_a_dataset(turning: Turning) -> None:
    """D4."""
    dataset = uploaded(turning, "gone", zipped({"a/1.png": picture(1), "b/1.png": picture(2)}))

    turning.api.delete(f"/api/datasets/{dataset['id']}")

    bucket, _, prefix = dataset["storage_path"].removeprefix("s3://").partition("/")
    left = turning.aws("s3").list_object_versions(Bucket=bucket, Prefix=prefix)
    assert "Versions" not in left and "DeleteMarkers" not in left


def test_browsers_may_send_parts_from_the_consoles_page(turning: Turning) -> None:
    """D1: S3's own answer to a browser that asks whether it may."""
    made = turning.api.post("/api/datasets", {"name": "asked", "domain": "tests", "size_bytes": 10})
    (part,) = turning.api.post(f"/api/datasets/{made['id']}/upload/parts", {"numbers": [1]})["items"]
    asked = {"origin": turning.record["api_url"], "access-control-request-method": "PUT"}
    request = urllib.request.Request(part["url"], headers=asked, method="OPTIONS")

    with urllib.request.urlopen(request, timeout=30) as answer:
        assert "PUT" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-origin"] in ("*", turning.record["api_url"])
