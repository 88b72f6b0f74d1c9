"""From a ZIP of digits to an endpoint that reads them: the real intake, the real search, the real serving."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cdk.local.__main__ import down, up
from cdk.local.settings import REPO
from tests.flow.turning import Turning, a_twin, until

pytestmark = [pytest.mark.twin, pytest.mark.slow]
QUICK = {"target_accuracy": 0.97, "rounds": 2, "population": 4, "seeds": 1, "finalists": 1, "baselines": False}


@pytest.fixture(scope="module")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turning]:
    twin = replace(a_twin(tmp_path_factory.mktemp("search") / "home"), containers=REPO / "training_containers", slots=1)
    yield Turning(twin, up(twin))
    down(twin)


def _png(digit: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray((digit * 15.9).astype(np.uint8), "L").save(out, "PNG")
    return out.getvalue()


def _archive() -> bytes:
    """A folder a class, as people keep them; one file is no image, and one class is written with an umlaut."""
    digits, out = load_digits(), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            name = "fünf" if label == 5 else str(label)
            archive.writestr(f"digits/{name}/{number:04}.png", _png(image))
        archive.writestr("digits/3/broken.png", b"\x89PNG\r\n\x1a\nbut no more")
    return out.getvalue()


def _send(turning: Turning, method: str, path: str, body: bytes) -> Any:
    headers = {"x-api-key": turning.record["demo_key"], "content-type": "application/octet-stream"}
    request = urllib.request.Request(turning.record["api_url"] + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


@pytest.mark.timeout(900)
def test_digits_are_searched_for_a_network_that_then_reads_them_over_http(turning: Turning) -> None:
    """D1, D2, D3, J3, J6, S1, S3, E2, Q5: nobody names a strategy, and there is no language model."""
    dataset = turning.api.post("/api/datasets", {"name": "Digits", "domain": "handwriting"})
    where = f"/api/datasets/{dataset['id']}"
    _send(turning, "PUT", f"{where}/archive", _archive())

    def ready() -> Any:
        found = turning.api.get(where)
        assert found["state"] != "error", found["reasons"]
        return found if found["state"] == "ready" else None

    assert until(ready, "the intake", 120)["total_samples"] == 1797

    job = turning.api.post("/api/training-jobs", {"dataset_id": dataset["id"], "hyperparameters": QUICK})
    assert (job["strategy"], job["model_name"]) == ("cnn-search", "classifier")
    stages = set()

    def over() -> Any:
        found = turning.api.get(f"/api/training-jobs/{job['id']}")
        stages.add(found["progress"].get("stage"))
        assert found["state"] not in ("failed", "cancelled"), found["error"]
        return found if found["state"] == "completed" else None

    done = until(over, "the search", 600)
    assert {"trials0", "train"} <= stages and done["gates"]["cnn"]["passed"]
    model = turning.api.get(f"/api/models/{done['model_id']}")
    assert model["state"] == "active" and model["metrics"]["test_accuracy"] > 0.9
    assert model["lineage"]["dataset_id"] == dataset["id"]

    digits = load_digits()
    path = "/api/models/classifier/classify"
    seen = [_send(turning, "POST", path, _png(digits.images[at])) for at in range(0, 200, 10)]
    names = ["fünf" if digits.target[at] == 5 else str(digits.target[at]) for at in range(0, 200, 10)]
    assert sum(answer["label"] == name for answer, name in zip(seen, names, strict=True)) >= 17
    assert all(abs(sum(one["share"] for one in answer["shares"]) - 1) < 1e-4 for answer in seen)
