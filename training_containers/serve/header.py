"""What a GGUF file claims, read and bounded before llama.cpp sees it. Stdlib only.

llama.cpp trusts lengths and offsets more than a server may: here every count has a limit, every string and every
tensor must lie inside the file, and the file must be as long as its tensors need. Nothing in it is executed.
Source: llama.cpp's docs/gguf.md, versions 2 and 3, little endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from millrace.errors import Corrupt

MAGIC: Final = b"GGUF"
MAX_TENSORS: Final = 65_536
MAX_KEYS: Final = 4_096
MAX_STRING: Final = 1 << 20
MAX_ITEMS: Final = 4_000_000
"""Of one array; the largest vocabularies have 300,000 pieces and as many merges."""
MAX_DEPTH: Final = 2

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# ggml type -> (elements in a block, bytes of a block), as ggml_type_size has them.
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    """From the start of the file."""
    size_bytes: int


@dataclass(frozen=True)
class Header:
    metadata: dict[str, Any]
    """Scalars and strings; an array stands as its number of items."""
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        return str(self.metadata["general.architecture"])


def read(path: Path) -> Header:
    """The header of a GGUF file, or Corrupt with what is wrong with it."""
    try:
        with path.open("rb") as file:
            return _Reader(file, path.name, path.stat().st_size).header()
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}.") from error


class _Reader:
    """Reads forward and refuses at the first lie."""

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self.file, self.name, self.size = file, name, size

    def header(self) -> Header:
        if self.file.read(4) != MAGIC:
            raise Corrupt(f"{self.name} is not a GGUF file: it does not begin with 'GGUF'.")
        if (version := self.scalar("I")) not in (2, 3):
            raise Corrupt(f"{self.name} says it is GGUF version {version}; 2 and 3 are read here.")
        tensors = self.count("Q", MAX_TENSORS, "tensors")
        keys = self.count("Q", MAX_KEYS, "metadata keys")
        metadata = {self.string(): self.value(self.scalar("I")) for _ in range(keys)}
        if not isinstance(metadata.get("general.architecture"), str) or tensors == 0:
            raise Corrupt(f"{self.name} holds no model: no architecture is named or no tensor is in it.")
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 16:
            raise Corrupt(f"{self.name} asks for an alignment of {alignment!r} bytes.")
        described = [self.described() for _ in range(tensors)]
        start = -(-self.file.tell() // alignment) * alignment
        return Header(metadata, tuple(self.placed(start, *tensor) for tensor in described))

    def described(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.string()
        shape = tuple(self.scalar("Q") for _ in range(self.count("I", 4, f"dimensions of {name}")))
        return name, shape, self.scalar("I"), self.scalar("Q")

    def placed(self, start: int, name: str, shape: tuple[int, ...], type: int, offset: int) -> Tensor:
        if type not in _BLOCKS:
            raise Corrupt(f"{self.name}: tensor {name} has the unknown type {type}.")
        elements, block = _BLOCKS[type]
        count = 1
        for extent in shape:
            count *= extent
        size_bytes = -(-count // elements) * block
        if start + offset + size_bytes > self.size:
            raise Corrupt(f"{self.name} is cut short: tensor {name} ends after the file's {self.size} bytes.")
        return Tensor(name, shape, type, start + offset, size_bytes)

    def value(self, type: int, depth: int = 0) -> Any:
        if type in _SCALARS:
            return self.scalar(_SCALARS[type])
        if type == _STRING:
            return self.string()
        if type != _ARRAY or depth >= MAX_DEPTH:
            raise Corrupt(f"{self.name} has a metadata value of the unknown type {type}.")
        inner, count = self.scalar("I"), self.count("Q", MAX_ITEMS, "items of an array")
        if inner in _SCALARS:
            self.skip(count * struct.calcsize("<" + _SCALARS[inner]))
        else:
            for _ in range(count):
                self.skip(self.count("Q", MAX_STRING, "bytes of a string")) if inner == _STRING else self.value(
                    inner, depth + 1
                )
        return count

    def string(self) -> str:
        raw = self.bytes(self.count("Q", MAX_STRING, "bytes of a string"))
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise Corrupt(f"{self.name} has a name or text that is not UTF-8.") from error

    def count(self, kind: str, limit: int, what: str) -> int:
        count = int(self.scalar(kind))
        if count > limit:
            raise Corrupt(f"{self.name} claims {count} {what}; at most {limit} are read.")
        return count

    def scalar(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self.bytes(struct.calcsize("<" + kind)))[0]

    def skip(self, count: int) -> None:
        if self.file.seek(count, 1) > self.size:
            raise Corrupt(f"{self.name} is cut short in its header.")

    def bytes(self, count: int) -> bytes:
        raw = self.file.read(count)
        if len(raw) != count:
            raise Corrupt(f"{self.name} is cut short in its header.")
        return raw
