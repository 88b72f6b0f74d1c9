"""Images decoded in a child process: whatever a file does to the decoder costs that file and nothing else.

The child starts with no environment but the way to Pillow, has rlimits of the kernel (memory, processor time, no file
writes, no further process) and answers each image within a time limit or is replaced. Pillow is never imported here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

SCRIPT = Path(__file__).with_name("decoder.py")
MEMORY_BYTES = 256 * 2**20
"""Of address space, so that no image takes more of the machine: 36 million pixels of four channels are 144 MB."""
IMAGE_S = 10.0
"""The slowest image that fits took 0.7 s here."""
CPU_S = 3600
MAX_REPLY_BYTES = 2**20


@dataclass
class Decoder:
    """A context; `look` may be called any number of times."""

    memory_bytes: int = MEMORY_BYTES
    image_s: float = IMAGE_S
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def look(self, body: bytes, thumbnail: bool = False) -> tuple[Mapping[str, Any], bytes]:
        """What the image is, or {"error": reason}; and its thumbnail."""
        child = self._started()
        asked = orjson.dumps({"thumbnail": thumbnail})
        try:
            assert child.stdin and child.stdout  # noqa: S101 - both are pipes
            child.stdin.write(struct.pack(">2L", len(asked), len(body)) + asked + body)
            child.stdin.flush()
            return self._answer(child)
        except (OSError, EOFError, ValueError):
            self._stop()
            return {"error": "the decoder died of it"}, b""

    def _answer(self, child: subprocess.Popen[bytes]) -> tuple[Mapping[str, Any], bytes]:
        deadline = time.monotonic() + self.image_s
        try:
            told, length = struct.unpack(">2L", self._read(child, 8, deadline))
            if told > MAX_REPLY_BYTES or length > MAX_REPLY_BYTES:
                raise ValueError("no frame of ours")
            found = orjson.loads(self._read(child, told, deadline))
            return found, self._read(child, length, deadline)
        except _Late:
            self._stop()
            return {"error": f"decoding it takes longer than {self.image_s:.0f} s"}, b""

    def _read(self, child: subprocess.Popen[bytes], length: int, deadline: float) -> bytes:
        assert child.stdout  # noqa: S101
        found = bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(child.stdout, selectors.EVENT_READ)
            while len(found) < length:
                left = deadline - time.monotonic()
                if left <= 0 or not waiting.select(left):
                    raise _Late
                piece = os.read(
                    child.stdout.fileno(), length - len(found)
                )  # past Python's buffer, which select cannot see
                if not piece:
                    raise EOFError
                found += piece
        return bytes(found)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-c",
                    _BOOT,
                    str(_home_of_pillow()),
                    str(SCRIPT),
                    str(self.memory_bytes),
                    str(CPU_S),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                close_fds=True,
                cwd="/",
            )
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


class _Late(Exception):
    """The child has not answered in time."""


_BOOT = (
    "import sys, runpy; home, script = sys.argv[1:3]; sys.path.append(home);"
    "sys.argv[:] = [script, *sys.argv[3:]]; runpy.run_path(script, run_name='__main__')"
)


def _home_of_pillow() -> Path:
    found = importlib.util.find_spec("PIL")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("Pillow belongs to the functions' asset and is not there.")
    return Path(found.origin).parents[1]
