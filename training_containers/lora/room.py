"""Whether memory and disk will do, before the weights are read: from the safetensors headers, which cost nothing.

The sum is of what stands at the end of a forward pass: the base, the adapter with AdamW's two moments in float32, what
each block keeps for its backward pass, and the logits. It is held against what autograd really keeps in the tests,
within a factor of two; SLACK covers the rest. Where it does not fit, the out-of-memory ladder is climbed down on paper
first, so that a job begins with settings that it can end with.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from millrace.errors import InvalidInput
from millrace.ladder import ladder

from .settings import LoraSettings

Wanted = TypeVar("Wanted", bound=LoraSettings)
SLACK: Final = 1.25
RESERVE: Final = 64 * 2**20
"""Bytes of disk for logs, the report and what else a job writes."""
_BLOCK: Final = re.compile(r"\.\d+\..*weight$")
_4BIT: Final = 0.55
"""Bytes a weight in NF4 with double quantisation."""


@dataclass(frozen=True)
class Base:
    """What the headers and the configuration say of a base."""

    parameters: int
    in_blocks: int
    """Parameters of the blocks' matrices: what 4 bits make smaller."""
    sides: tuple[int, ...]
    """Inputs plus outputs of every matrix that gets an adapter."""
    width: int
    inner: int
    heads: int
    attended: int
    """Columns of queries, keys and values together."""
    blocks: int
    vocabulary: int
    plain: bool
    """Whether its attention has soft caps or dropout, and so keeps its weights in float32 too, packed or not."""

    @classmethod
    def of(cls, path: Path, config: Any) -> Base:
        shapes = headers(path)
        matrices = [shape for name, shape in shapes.items() if len(shape) == 2 and _BLOCK.search(name)]
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        keys = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        return cls(
            parameters=sum(map(math.prod, shapes.values())),
            in_blocks=sum(map(math.prod, matrices)),
            sides=tuple(map(sum, matrices)),
            width=config.hidden_size,
            inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
            heads=config.num_attention_heads,
            attended=head * (config.num_attention_heads + 2 * keys),
            blocks=config.num_hidden_layers,
            vocabulary=config.vocab_size,
            plain=any(getattr(config, name, None) for name in ("attn_logit_softcapping", "attention_dropout")),
        )

    def trainable(self, rank: int) -> int:
        return rank * sum(self.sides)


def headers(path: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a folder, from the first bytes of its files."""
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > file.stat().st_size:
                raise InvalidInput(f"{file.name} of the channel `base` is not a whole safetensors file.")
            told: dict[str, Any] = json.loads(stream.read(size))
        found |= {name: tuple(entry["shape"]) for name, entry in told.items() if name != "__metadata__"}
    return found


def kept(base: Base, wanted: LoraSettings, lengths: Sequence[int], bytes_each: int) -> int:
    """Bytes that the forward pass of the longest rows keeps. lengths: tokens of each row, answers included."""
    rows = sorted((min(length, wanted.max_length) for length in lengths), reverse=True)[: wanted.batch_size]
    packs = getattr(wanted, "packing", False)
    if not packs:
        rows = [rows[0]] * len(rows) * (2 if hasattr(wanted, "beta") else 1)
    tokens, e = sum(rows), bytes_each
    a_token = (6 * base.width + 2 * base.attended + 5 * base.inner) * e + 4 * 4 * base.width
    weights = e if packs and not base.plain else 4 + e * (e < 4)  # the softmax in float32, and its rounding
    scores = base.heads * sum(row * row for row in rows) * weights
    block = tokens * a_token + scores
    logits = tokens * base.vocabulary * (2 * e if packs else 8 + e)  # they and their gradient, or autograd's own
    if wanted.gradient_checkpointing:
        return block + base.blocks * tokens * base.width * e + logits
    return base.blocks * block + logits


def memory(base: Base, wanted: LoraSettings, lengths: Sequence[int], bytes_each: int) -> int:
    """Bytes that training needs beside the program itself."""
    held = base.parameters * bytes_each
    if wanted.quantization == "4bit":
        held = int((base.parameters - base.in_blocks) * bytes_each + base.in_blocks * _4BIT)
    return held + int(SLACK * (16 * base.trainable(wanted.rank) + kept(base, wanted, lengths, bytes_each)))


def least_batch(wanted: Wanted) -> int:
    """What the settings of this strategy take at the least."""
    limits = (getattr(each, "ge", None) for each in type(wanted).model_fields["batch_size"].metadata)
    return max((int(limit) for limit in limits if limit is not None), default=1)


def settled(base: Base, wanted: Wanted, lengths: Sequence[int], bytes_each: int, free: int) -> tuple[Wanted, list[str]]:
    """The highest rung of the ladder that fits into `free` bytes, and what was changed. InvalidInput if none does."""
    rung = wanted
    while (needed := memory(base, rung, lengths, bytes_each)) > free:
        below = ladder(rung.model_dump(), least_batch(rung))
        if below is None:
            raise InvalidInput(
                f"Training this base needs about {_gib(needed)} of memory even with rows of {rung.max_length} tokens "
                f"one by one, and {_gib(free)} are free: take a larger machine or a smaller base."
            )
        rung = rung.model_copy(update=below)
    changed = {name: value for name, value in rung.model_dump().items() if value != getattr(wanted, name)}
    told = ", ".join(f"{name} {value}" for name, value in changed.items())
    return rung, [f"To fit into {_gib(free)} of memory: {told}."] if told else []


def disk(base: Base, path: Path, wanted: LoraSettings) -> int:
    """Bytes that a job writes: the adapter, three checkpoints with their moments, the tokenizer with each."""
    beside = sum(file.stat().st_size for file in path.iterdir() if file.is_file() and file.suffix != ".safetensors")
    return base.trainable(wanted.rank) * (4 + 3 * 12) + 4 * beside + RESERVE


def refuse_full_disk(base: Base, path: Path, wanted: LoraSettings, out: Path) -> None:
    needed, free = disk(base, path, wanted), shutil.disk_usage(out).free
    if free < needed:
        raise InvalidInput(
            f"{free >> 20} MiB of disk are too few: the adapter and its checkpoints need about {needed >> 20} MiB."
        )


def free_memory(place: str) -> int:
    """Bytes that the device can still give: of the GPU, or the least of the machine's and the container's."""
    if place == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    told = Path("/proc/meminfo")
    if not told.is_file():
        return 2**62  # no way to ask: the ladder will tell
    lines = dict(line.split(":", 1) for line in told.read_text().splitlines())
    return min(int(lines["MemAvailable"].split()[0]) * 1024, _left_in_group())


def _left_in_group() -> int:
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if not limit.is_file() or (most := limit.read_text().strip()) == "max":
        return 2**62
    return max(0, int(most) - int(used.read_text()))


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
