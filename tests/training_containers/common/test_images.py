"""The image channel, read in place: against zipfile and Pillow, and against everything that may be wrong with it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from millrace.errors import Corrupt, NotFound
from PIL import Image

from training_containers.common.images import Images, pixels


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def grey(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    return encoded(Image.new("L", size, value))


def channel(folder: Path, members: dict[str, bytes]) -> Path:
    """As the intake leaves it: `<class>/<name>` -> bytes, stored and deflated in turn."""
    classes = sorted({path.split("/")[0] for path in members})
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for number, (path, body) in enumerate(members.items()):
            archive.writestr(path, body, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
    rows = []
    with zipfile.ZipFile(folder / "archive.zip") as archive, (folder / "archive.zip").open("rb") as raw:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            raw.seek(info.header_offset + 26)
            name, extra = raw.read(2), raw.read(2)
            lengths = int.from_bytes(name, "little") + int.from_bytes(extra, "little")
            rows.append(
                {
                    "path": info.filename,
                    "label": classes.index(info.filename.split("/")[0]),
                    "split": None,
                    "offset": info.header_offset + 30 + lengths,
                    "stored": info.compress_size,
                    "size": info.file_size,
                    "method": info.compress_type,
                    "sha256": hashlib.sha256(members[info.filename]).hexdigest(),
                    "width": 8,
                    "height": 8,
                    "mode": "L",
                }
            )
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"id": "d", "classes": classes, "samples": len(rows), "archive": "archive.zip", "format": 1}
    told["archive_size"] = (folder / "archive.zip").stat().st_size
    (folder / "dataset.json").write_text(json.dumps(told))
    return folder


def test_every_member_is_read_as_zipfile_reads_it(tmp_path: Path) -> None:
    members = {f"{name}/{n}.png": grey(20 * n) for name in ("cat", "dog") for n in range(5)}
    images = Images.open(channel(tmp_path, members))

    assert images.classes == ["cat", "dog"] and [row.label for row in images.rows] == [0] * 5 + [1] * 5
    assert {row.path: images.read(row) for row in images.rows} == members
    assert images.decode(images.rows[3], channels=1).tolist() == np.full((8, 8, 1), 60).tolist()


def test_a_changed_byte_is_corrupt_and_never_pixels(tmp_path: Path) -> None:
    images = Images.open(channel(tmp_path, {"a/1.png": grey(1), "a/2.png": grey(2)}))
    raw = bytearray(images.archive.read_bytes())
    for row in images.rows:
        raw[row.offset + row.stored // 2] ^= 0xFF
    images.archive.write_bytes(raw)

    for row in images.rows:
        with pytest.raises(Corrupt):
            images.read(row)


@pytest.mark.parametrize("lost", ["dataset.json", "index.jsonl", "archive.zip"])
def test_a_channel_that_is_not_whole_is_told(lost: str, tmp_path: Path) -> None:
    folder = channel(tmp_path, {"a/1.png": grey(1)})
    path = folder / lost
    if lost == "dataset.json":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9] if lost == "archive.zip" else b"")

    with pytest.raises((Corrupt, NotFound)):
        Images.open(folder)


SIXTEEN = Image.fromarray(np.array([[0, 257 * 128, 65535]], dtype=np.uint16))
CLEAR = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
PALETTE = Image.new("RGB", (2, 2), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (encoded(SIXTEEN), [0, 128, 255]),
        (encoded(CLEAR), [255, 255]),
        (encoded(Image.new("1", (2, 1), 1)), [255, 255]),
        (encoded(Image.new("L", (2, 1), 77), "BMP"), [77, 77]),
    ],
)
def test_grey_is_what_a_person_sees(body: bytes, expected: list[int]) -> None:
    assert pixels(body, channels=1)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("body", "colour"),
    [
        (encoded(PALETTE), (10, 200, 30)),
        (encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95), (255, 0, 0)),
        (encoded(Image.new("RGB", (16, 16), (0, 0, 255)), "WEBP", lossless=True), (0, 0, 255)),
        (encoded(Image.new("L", (4, 4), 9)), (9, 9, 9)),
    ],
)
def test_colours_are_what_a_person_sees(body: bytes, colour: tuple[int, int, int]) -> None:
    assert np.abs(pixels(body)[0, 0].astype(int) - colour).max() <= 4


def test_a_rotated_photo_stands_upright_and_the_first_frame_counts() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    frames = [Image.new("L", (4, 4), value) for value in (10, 250)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert pixels(photo).shape == (40, 20, 3)
    assert pixels(moving, channels=1).max() <= 12


@pytest.mark.parametrize("size", [16, (12, 20), None])
def test_pixels_have_the_size_that_is_asked_for(size: int | tuple[int, int] | None) -> None:
    body = encoded(Image.new("RGB", (64, 48), "red"), "JPEG")

    expected = {16: (16, 16, 3), (12, 20): (12, 20, 3), None: (48, 64, 3)}[size]
    assert pixels(body, size).shape == expected


@pytest.mark.parametrize("body", [b"", b"not an image", encoded(Image.new("L", (9, 9)), "TIFF"), grey(3)[:-30]])
def test_what_is_no_image_of_a_known_kind_is_corrupt(body: bytes) -> None:
    with pytest.raises(Corrupt):
        pixels(body)
