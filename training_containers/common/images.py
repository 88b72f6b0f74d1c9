"""An image channel: rows of index.jsonl, their bytes read in place out of archive.zip, and pixels as people see them.

The channel holds archive.zip (what was uploaded, untouched), index.jsonl (a line for each accepted image, by path) and
dataset.json, written last. Every byte that is read has the size and SHA-256 that its row says. Safe across threads and
forks: each read names its own place in the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from millrace.errors import Corrupt, NotFound
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""What the intake accepts; no other decoder is ever reached."""
MAX_PIXELS = 36_000_000
"""As the intake has it: a row that says more was not written by it."""
DATASET, INDEX = "dataset.json", "index.jsonl"
_STORED, _DEFLATED = 0, 8
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """One accepted image. `offset` and `stored`: where its bytes lie in the archive; `split` None: not told."""

    path: str
    label: int
    split: Literal["train", "validation", "test"] | None
    offset: int
    stored: int
    size: int
    method: int
    sha256: str
    width: int
    height: int
    mode: str


@dataclass(frozen=True)
class Images:
    classes: list[str]
    rows: list[Row]
    dataset: Mapping[str, Any]
    """dataset.json: id, name, domain, counts and more."""
    archive: Path

    @classmethod
    def open(cls, channel: Path) -> Images:
        """NotFound where the channel is none; Corrupt where it is not whole."""
        if not (channel / DATASET).is_file():
            raise NotFound(f"{channel.name} is no image channel: it has no {DATASET}.")
        dataset = json.loads((channel / DATASET).read_bytes())
        archive = channel / str(dataset["archive"])
        if not archive.is_file() or archive.stat().st_size != dataset["archive_size"]:
            raise Corrupt(f"{archive.name} does not have the {dataset['archive_size']} bytes that were indexed.")
        with (channel / INDEX).open("rb") as lines:
            rows = [Row(**json.loads(line)) for line in lines]
        if len(rows) != dataset["samples"]:
            raise Corrupt(f"{INDEX} has {len(rows)} lines where {DATASET} counts {dataset['samples']} images.")
        return cls(list(dataset["classes"]), rows, dataset, archive)

    def read(self, row: Row) -> bytes:
        """The file as it was uploaded. Corrupt where size or hash differ."""
        descriptor = os.open(self.archive, os.O_RDONLY)
        try:
            stored = os.pread(descriptor, row.stored, row.offset)
        finally:
            os.close(descriptor)
        body = stored if row.method == _STORED else _inflated(stored, row.size)
        if len(body) != row.size or hashlib.sha256(body).hexdigest() != row.sha256:
            raise Corrupt(f"{row.path} does not have the size and SHA-256 that it was indexed with.")
        return body

    def decode(self, row: Row, size: tuple[int, int] | int | None = None, channels: Literal[1, 3] = 3) -> Pixels:
        """Pixels, uint8 (H, W, C), upright. `size`: scaled and cut about the centre to (height, width) or a square."""
        return pixels(self.read(row), size, channels)


def pixels(body: bytes, size: tuple[int, int] | int | None = None, channels: Literal[1, 3] = 3) -> Pixels:
    """The first frame of an encoded image, as `Images.decode` gives it. Corrupt where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise Corrupt(f"An image of {opened.width} x {opened.height} pixels; at most {MAX_PIXELS} are decoded.")
            wanted = (size, size) if isinstance(size, int) else size
            if wanted is not None:
                opened.draft(None, (wanted[1], wanted[0]))  # a JPEG is decoded at a fraction of its size, cheaper
            image = plain(ImageOps.exif_transpose(opened), channels)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise Corrupt(f"An image cannot be decoded: {error}.") from error
    if wanted is not None and image.size != (wanted[1], wanted[0]):
        image = ImageOps.fit(image, (wanted[1], wanted[0]), Image.Resampling.BILINEAR)
    return np.array(image, dtype=np.uint8).reshape(image.height, image.width, channels)


def plain(image: Image.Image, channels: Literal[1, 3]) -> Image.Image:
    """L or RGB: 16 bits become their upper 8, what is transparent lies on white, CMYK and palettes become colours."""
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow's own conversion would cut everything over 255 off."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode.startswith("I;16") or values.max(initial=0) > 255:
        values = values / 257  # 65535 / 255
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _inflated(stored: bytes, size: int) -> bytes:
    """At most one byte more than promised, which the caller finds."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, size + 1)
    except zlib.error as error:
        raise Corrupt(f"A member of the archive cannot be inflated: {error}.") from error
