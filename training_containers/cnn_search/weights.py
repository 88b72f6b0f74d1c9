"""safetensors read with suspicion: the header is bounded and checked before a byte is taken for a number. No pickle.

Source of the format: the safetensors README. Eight bytes of length, a JSON object, then the tensors without gaps.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from millrace.errors import Corrupt
from torch import Tensor, nn

MAX_HEADER: Final = 16 << 20
MAX_TENSORS: Final = 20_000
MAX_BYTES: Final = 8 << 30
_SIZES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Tensors:
    """name -> (type, shape)."""

    described: dict[str, tuple[str, tuple[int, ...]]]


def header(raw: bytes, size: int, name: str) -> Tensors:
    """What the first bytes of a file of `size` bytes promise, all of it kept. Corrupt says what is wrong."""
    if len(raw) < 8:
        raise Corrupt(f"{name} is no safetensors file: it is shorter than its header's length.")
    (length,) = struct.unpack("<Q", raw[:8])
    if length > MAX_HEADER or 8 + length > size or size > MAX_BYTES:
        raise Corrupt(f"{name} is no safetensors file: its header claims {length:,} bytes of {size:,}.")
    try:
        told: Any = json.loads(raw[8 : 8 + length])
    except (ValueError, RecursionError):
        raise Corrupt(f"{name} is no safetensors file: its header is not JSON.") from None
    if not isinstance(told, dict) or len(told) > MAX_TENSORS:
        raise Corrupt(f"{name}: its header is no object of at most {MAX_TENSORS:,} tensors.")
    told.pop("__metadata__", None)
    spans, described = [], {}
    for key, entry in told.items():
        kind, shape, span = _entry(entry, name)
        described[str(key)] = (kind, shape)
        spans.append(span)
    at = 0
    for start, end in sorted(spans):
        if start != at:
            raise Corrupt(f"{name}: its tensors overlap or leave a gap at byte {at:,}.")
        at = end
    if 8 + length + at != size:
        raise Corrupt(f"{name} has {size:,} bytes where its header promises {8 + length + at:,}.")
    return Tensors(described)


def _entry(entry: Any, name: str) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    try:
        kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        whole = all(type(n) is int and 0 <= n <= MAX_BYTES for n in (*shape, start, end)) and len(shape) <= 8
        if whole and end - start == math.prod(shape) * _SIZES[kind]:
            return kind, shape, (start, end)
    except (KeyError, TypeError, ValueError):
        pass
    raise Corrupt(f"{name}: a tensor's type, shape and place do not agree.")


def read(path: Path) -> dict[str, Tensor]:
    """Checked, then loaded. Corrupt for anything but safetensors."""
    try:
        with path.open("rb") as file:
            raw, size = file.read(8 + MAX_HEADER), path.stat().st_size
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}.") from error
    header(raw, size, path.name)
    return safetensors.torch.load_file(path)


def loads(raw: bytes, name: str) -> dict[str, Tensor]:
    header(raw, len(raw), name)
    return safetensors.torch.load(raw)


def dumps(model: nn.Module) -> bytes:
    """The state of a model in its plain layout, on the processor."""
    return safetensors.torch.save(state(model))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu").contiguous() for name, value in model.state_dict().items()}


def put(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Into the model, every tensor and no other. Corrupt where names or shapes differ, or a value is no number."""
    wanted = model.state_dict()
    if wanted.keys() != tensors.keys():
        odd = sorted(wanted.keys() ^ tensors.keys())[0]
        raise Corrupt(f"{name} is not this network's: {odd[:80]} is in one of the two only.")
    for key, value in tensors.items():
        if wanted[key].shape != value.shape or wanted[key].dtype != value.dtype:
            raise Corrupt(f"{name}: {key} is {tuple(value.shape)}, and this network's {tuple(wanted[key].shape)}.")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise Corrupt(f"{name}: {key} holds what is no number.")
    model.load_state_dict(tensors)
