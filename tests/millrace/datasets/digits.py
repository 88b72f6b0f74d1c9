"""scikit-learn's digits as archives: 1,797 images of 8 x 8 pixels in ten classes."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tests.millrace.datasets.archives import zipped

SPLITS = ("train", "val", "test")


@cache
def pictures() -> tuple[tuple[int, bytes], ...]:
    """(label, PNG) of each."""
    digits = load_digits()
    found = []
    for label, image in zip(digits.target, digits.images, strict=True):
        out = io.BytesIO()
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(out, "PNG")
        found.append((int(label), out.getvalue()))
    return tuple(found)


def counts() -> dict[str, int]:
    return {str(label): count for label, count in Counter(label for label, _ in pictures()).items()}


def class_folders(prefix: str = "", limit: int | None = None) -> bytes:
    return _laid_out(lambda number, label: f"{prefix}{label}/{number:04}.png", limit)


def split_folders(limit: int | None = None) -> bytes:
    return _laid_out(lambda number, label: f"{split_of(number)}/{label}/{number:04}.png", limit)


def split_of(number: int) -> str:
    return SPLITS[0 if number % 10 < 7 else 1 if number % 10 < 8 else 2]


def _laid_out(path: Callable[[int, int], str], limit: int | None) -> bytes:
    return zipped({path(n, label): body for n, (label, body) in enumerate(pictures()[:limit])})
