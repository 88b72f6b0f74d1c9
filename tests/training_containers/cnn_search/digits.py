"""scikit-learn's 1,797 handwritten digits (8 x 8, ten classes) as an image channel: a ZIP of PNGs and its index."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits


def arrays() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(1797, 8, 8) grey values and the labels."""
    x, y = load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8), y


def png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def channel(folder: Path, every: int = 1) -> Path:
    """The digits as the intake leaves them; `every` n-th of them."""
    images, labels = arrays()
    files = [(f"{y}/{i:04d}.png", int(y), png(x), None) for i, (x, y) in enumerate(zip(images, labels, strict=True))]
    return write(folder, files[::every], [str(n) for n in range(10)])


def write(folder: Path, files: Iterable[tuple[str, int, bytes, str | None]], classes: list[str]) -> Path:
    """A channel of (path, label, encoded image, split)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for path, label, body, split in sorted(files):
            archive.writestr(path, body)
            info = archive.getinfo(path)
            with Image.open(io.BytesIO(body)) as opened:
                seen = {"width": opened.width, "height": opened.height, "mode": opened.mode}
            at = info.header_offset + 30 + len(path.encode())
            hashed = hashlib.sha256(body).hexdigest()
            row = {"path": path, "label": label, "split": split, "offset": at, "stored": len(body), "size": len(body)}
            rows.append(row | {"method": 0, "sha256": hashed} | seen)
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"id": "digits", "name": "digits", "domain": "digits", "classes": classes, "samples": len(rows)}
    told |= {"archive": "archive.zip", "archive_size": (folder / "archive.zip").stat().st_size, "format": 1}
    (folder / "dataset.json").write_text(json.dumps(told))
    return folder
