"""scikit-learn's digits as a person has them: an archive with a folder a class, and single files to ask about."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tests.flow.turning import Turning, until


def png(digit: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray((digit * 15.9).astype(np.uint8), "L").save(out, "PNG")
    return out.getvalue()


def name(label: int) -> str:
    """One class is written with an umlaut."""
    return "fünf" if label == 5 else str(label)


def archive() -> bytes:
    """One file is no image."""
    digits, out = load_digits(), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            archive.writestr(f"digits/{name(label)}/{number:04}.png", png(image))
        archive.writestr("digits/3/broken.png", b"\x89PNG\r\n\x1a\nbut no more")
    return out.getvalue()


def send(turning: Turning, method: str, path: str, body: bytes) -> Any:
    headers = {"x-api-key": turning.record["demo_key"], "content-type": "application/octet-stream"}
    request = urllib.request.Request(turning.record["api_url"] + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


def dataset(turning: Turning) -> dict[str, Any]:
    """Uploaded and ready."""
    made = turning.api.post("/api/datasets", {"name": "Digits", "domain": "handwriting"})
    where = f"/api/datasets/{made['id']}"
    send(turning, "PUT", f"{where}/archive", archive())

    def ready() -> Any:
        found = turning.api.get(where)
        assert found["state"] != "error", found["reasons"]
        return found if found["state"] == "ready" else None

    found: dict[str, Any] = until(ready, "the intake", 120)
    return found


def read_right(turning: Turning) -> int:
    """Of 20 images that are sent to the endpoint, how many get their own name."""
    digits, path = load_digits(), "/api/models/classifier/classify"
    seen = [send(turning, "POST", path, png(digits.images[at])) for at in range(0, 200, 10)]
    assert all(abs(sum(one["share"] for one in answer["shares"]) - 1) < 1e-4 for answer in seen)
    return sum(answer["label"] == name(digits.target[at]) for answer, at in zip(seen, range(0, 200, 10), strict=True))
