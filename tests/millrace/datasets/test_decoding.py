"""What images do to their decoder costs them alone: bombs, hangs, lies and kills, against Pillow's own limits."""

from __future__ import annotations

import io
import os
import signal
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from millrace.datasets.decoding import Decoder
from PIL import Image

from tests.millrace.datasets.archives import picture


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with Decoder() as started:
        yield started


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that claims a size; its pixels are what they are."""
    head = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


HOSTILE = {
    "a pixel bomb": png(60_000, 60_000),
    "a long line": png(2**31 - 1, 1),
    "pixels that are missing": png(100, 100, b"\0" * 50),
    "a text bomb": png(1, 1, b"\0" * 4)[:-12]
    + chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * (300 * 2**20)))
    + chunk(b"IEND", b""),
    "no image": b"these are words",
    "nothing": b"",
    "a TIFF": b"II*\0" + bytes(60),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "a GIF of nothing": b"GIF89a\xff\xff\xff\xff\x00\x00\x00;",
    "a WebP of nothing": b"RIFF\x10\0\0\0WEBPVP8 \0\0\0\0",
    "a BMP of two billion": b"BM"
    + struct.pack("<LHHLLllHHLLllLL", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, *[0] * 6),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_an_error_and_the_next_one_is_read(decoder: Decoder, name: str) -> None:
    found, thumbnail = decoder.look(HOSTILE[name], thumbnail=True)

    assert (name == "a text bomb" or "error" in found) and len(thumbnail) < 10_000
    assert decoder.look(picture(1))[0]["format"] == "PNG"


def test_the_largest_images_fit_and_the_kernel_holds_the_rest_to_256_mib(decoder: Decoder) -> None:
    large = png(6_000, 6_000, bytes(6_000 * (6_000 * 3 + 1)))
    assert decoder.look(large, thumbnail=True)[0]["width"] == 6_000
    webp = io.BytesIO()
    Image.new("RGB", (4_500, 4_000)).save(webp, "WEBP", method=0)

    found, _ = decoder.look(webp.getvalue())

    assert "at most 14,000,000" in found["error"]
    child = decoder._child
    assert child is not None
    peak = Path(f"/proc/{child.pid}/status").read_text().split("VmPeak:")[1].split()[0]
    assert int(peak) * 1024 <= 256 * 2**20


def test_damaged_images_never_stop_the_decoder(decoder: Decoder) -> None:
    for format in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        whole = bytearray(picture(7, format, (40, 30)))
        for at in range(0, len(whole), max(1, len(whole) // 25)):
            body = bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
            found, _ = decoder.look(body)
            assert "error" in found or found["width"] * found["height"] <= 36_000_000


def test_a_decoder_that_is_killed_costs_one_image(decoder: Decoder) -> None:
    decoder.look(picture(1))
    child = decoder._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()

    assert decoder.look(picture(2))[0]["format"] == "PNG"


def test_a_slow_image_is_given_up_in_time() -> None:
    with Decoder(image_s=0.0) as decoder:
        found, _ = decoder.look(picture(1))

    assert "takes longer" in found["error"]


def test_the_child_has_no_keys_writes_nothing_and_starts_nothing(decoder: Decoder) -> None:
    decoder.look(picture(1))
    child = decoder._child
    assert child is not None

    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    limits = Path(f"/proc/{child.pid}/limits").read_text()

    assert environment == b""
    for name, most in (
        ("Max file size", "0"),
        ("Max processes", "0"),
        ("Max open files", "16"),
        ("Max core file size", "0"),
    ):
        line = next(line for line in limits.splitlines() if line.startswith(name))
        assert line.removeprefix(name).split()[0] == most


def test_what_is_told_is_what_pillow_sees(decoder: Decoder) -> None:
    for format, mode in (("PNG", "RGBA"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("BMP", "L"), ("GIF", "P"), ("PNG", "1")):
        body = picture(9, format, (33, 21), mode)
        with Image.open(io.BytesIO(body)) as image:
            expected = {"format": format, "mode": image.mode, "width": 33, "height": 21, "frames": 1, "turned": False}
        assert decoder.look(body)[0] == expected
