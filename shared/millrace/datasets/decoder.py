"""A process that decodes images and nothing else: limited by the kernel, without keys, files or a way out.

Run as a script, with the limits as its arguments. In: a frame {"thumbnail": bool} and the file's bytes. Out: a frame
of what the image is, or {"error": reason}, and a thumbnail's bytes. A frame is two lengths (4 bytes each, big-endian),
JSON, then bytes. It imports Pillow and the standard library: whoever starts it hands it no other path.
"""

import io
import json
import resource
import struct
import sys
import warnings
from typing import Any, BinaryIO

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Decoders beyond these are never reached."""
MAX_PIXELS = 36_000_000
FORMAT_PIXELS = {"WEBP": 14_000_000}
"""Of formats whose decoder holds an image four times over."""
MAX_SIDE = 20_000
THUMBNAIL = 96
_ORIENTATION = 0x0112


def confine(memory_bytes: int, cpu_s: int) -> None:
    for what, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def look(body: bytes, thumbnail: bool) -> tuple[dict[str, Any], bytes]:
    """What the image is, fully decoded once; raises what Pillow raises."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(body), formats=FORMATS) as image:
        width, height = image.size
        most = FORMAT_PIXELS.get(str(image.format), MAX_PIXELS)
        if width * height > most or max(width, height) > MAX_SIDE:
            raise ValueError(f"{width} x {height} pixels; at most {most:,} and {MAX_SIDE:,} a side are taken")
        frames = getattr(image, "n_frames", 1)
        kind, mode = image.format, image.mode
        image.seek(0)
        image.load()
        turned = image.getexif().get(_ORIENTATION, 1)
        small = b""
        if thumbnail:
            small = shrunk(ImageOps.exif_transpose(sampled(image)), Image)
    if turned in (5, 6, 7, 8):
        width, height = height, width
    kind = "JPEG" if kind == "MPO" else kind  # a camera's JPEG with more pictures behind the first
    frames = 1 if kind == "JPEG" else frames
    return {
        "format": kind,
        "mode": mode,
        "width": width,
        "height": height,
        "frames": frames,
        "turned": turned in range(2, 9),
    }, small


def sampled(image: Any) -> Any:
    """Every so many pixels of a large one: any better way would first copy the whole."""
    step = max(image.size) // (8 * THUMBNAIL)
    return image if step < 2 else image.resize((max(1, image.width // step), max(1, image.height // step)), 0)


def shrunk(image: Any, Image: Any) -> bytes:
    """At most 96 pixels a side, in 8 bits, on white, as WebP."""
    if image.mode.startswith(("I", "F")):
        high = image.getextrema()[1]
        scale = 257.0 if image.mode.startswith("I;16") or high > 255 else 1.0
        image = image.convert("F").point(lambda value: value * (1 / scale) + 0.0).convert("L")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=70, method=2)
    return out.getvalue()


def take(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """(told, bytes) of the next frame; None at the end."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    told, length = struct.unpack(">2L", head)
    return json.loads(stream.read(told)), stream.read(length)


def give(stream: BinaryIO, told: dict[str, Any], body: bytes) -> None:
    text = json.dumps(told).encode()
    stream.write(struct.pack(">2L", len(text), len(body)) + text + body)
    stream.flush()


def main() -> None:
    memory_bytes, cpu_s = map(int, sys.argv[1:3])
    # Loaded before the limits: afterwards no file can be opened for long.
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        ImageOps,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        WebPImagePlugin,
    )

    loaded = (
        BmpImagePlugin,
        GifImagePlugin,
        ImageOps,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        WebPImagePlugin,
    )
    assert loaded  # noqa: S101
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("ignore")
    confine(memory_bytes, cpu_s)
    frames_in, frames_out = sys.stdin.buffer, sys.stdout.buffer
    while (frame := take(frames_in)) is not None:
        asked, body = frame
        small = b""
        try:
            told, small = look(body, asked["thumbnail"])
        except MemoryError:
            told = {"error": "decoding it needs more memory than it is given"}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}"[:300]}
        give(frames_out, told, small)


if __name__ == "__main__":
    main()
