"""Rows end to end in one sequence, each seeing itself alone: no padding, and the loss of each is what it is by itself.

The mask is block-diagonal by construction: attention is computed row by row, so nothing is ever computed that a mask
would throw away, and positions restart with each row. Logits are made only where an answer is predicted.
Measured against TRL's and transformers' own trainers at their defaults: tests/bench/bench_lora.py.
Sliding windows and soft caps are kept; a model whose attention has sinks, or is not transformers' own, is not packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface
from trl import SFTTrainer

from .data import Encoded

ROWS: Final = "rows"
"""Name of the attention; the model is switched to it for packed passes only."""
CHUNK: Final = 2048
"""Predicted tokens whose logits are in memory at once."""


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    row_lengths: Sequence[int] = (),
    **_: Any,
) -> tuple[Tensor, None]:
    """query (1, heads, tokens, d), key and value (1, kv heads, tokens, d); row_lengths sum to tokens.

    Returns (1, tokens, heads, d).
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    made = []
    lengths = list(row_lengths) or [query.shape[2]]
    for q, k, v in zip(*(torch.split(part, lengths, dim=2) for part in (query, key, value)), strict=True):
        narrow = sliding_window is not None and sliding_window < q.shape[2]
        if q.is_cuda and softcap is None and not narrow:
            made.append(scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scale))
        else:
            made.append(_plain(q, k, v, scale, dropout, sliding_window if narrow else None, softcap))
    return torch.cat(made, dim=2).transpose(1, 2).contiguous(), None


def _plain(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float, window: int | None, softcap: float | None
) -> Tensor:
    # Plain products: on a CPU the fused kernel's backward takes four times as long at rows of a hundred tokens.
    mask = _mask(q.shape[2], window, q.dtype, q.device)
    if softcap is None:
        scores = torch.baddbmm(mask[None], q[0], k[0].transpose(1, 2), alpha=scale)
    else:
        scores = torch.tanh(q[0] @ k[0].transpose(1, 2) * (scale / softcap)) * softcap + mask
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype)
    return (torch.dropout(weights, dropout, dropout > 0.0) @ v[0])[None]


@lru_cache(maxsize=512)
def _mask(length: int, window: int | None, dtype: torch.dtype, device: Any) -> Tensor:
    """(length, length): 0 where a token sees another, -inf where it does not."""
    seen = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    return torch.zeros(length, length, dtype=dtype, device=device).masked_fill(~seen, float("-inf"))


def _no_mask(*_: Any, **__: Any) -> None:
    return None


AttentionInterface.register(ROWS, attend)
AttentionMaskInterface.register(ROWS, _no_mask)


def enable(model: Any) -> bool:
    """Let `model` compute packed passes; False, and nothing changed, where its attention is of another kind."""
    inner = _inner(model)
    if not inner._supports_attention_backend or any(name.endswith("sinks") for name, _ in inner.named_parameters()):
        return False
    inner.set_attn_implementation(ROWS)
    return True


@contextmanager
def packed(model: Any) -> Iterator[bool]:
    """`enable` for a while."""
    before = _inner(model).config._attn_implementation
    able = enable(model)
    try:
        yield able
    finally:
        if able:
            _inner(model).set_attn_implementation(before)


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows of input_ids and labels as one sequence. The first token of a row is predicted from nothing."""
    lengths = [len(row["input_ids"]) for row in rows]
    labels = [label for row in rows for label in (-100, *row["labels"][1:])]
    return {
        "input_ids": torch.tensor([[id for row in rows for id in row["input_ids"]]]),
        "position_ids": torch.tensor([[at for length in lengths for at in range(length)]]),
        "labels": torch.tensor([labels]),
        "row_lengths": lengths,
    }


def token_losses(model: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """(losses, rows) of every predicted token, nats: both (n,), the second says in which row of the batch it stands."""
    labels = batch["labels"][0]
    at = (labels[1:] != -100).nonzero().squeeze(1)
    given = {name: batch[name] for name in ("input_ids", "position_ids")}
    if len(batch["row_lengths"]) > 1:
        given["row_lengths"] = batch["row_lengths"]
    with torch.autocast(labels.device.type, torch.bfloat16, enabled=model.dtype is torch.bfloat16):
        logits = model(**given, logits_to_keep=at, use_cache=False).logits[0]
    wanted = labels[at + 1]
    parts = [
        cross_entropy(part.float(), ids, reduction="none")
        for part, ids in zip(logits.split(CHUNK), wanted.split(CHUNK), strict=True)
    ]
    number = torch.repeat_interleave(torch.tensor(batch["row_lengths"], device=labels.device))
    return torch.cat(parts), number[at + 1]


@torch.no_grad()
def target_loss(model: Any, rows: Sequence[Encoded], size: int) -> float:
    """Mean negative log-likelihood over all target tokens, nats, `size` rows a pass; the model is left as it was."""
    total, count, training = 0.0, 0, model.training
    model.eval()
    with packed(model) as able:
        step = size if able else 1
        for at in range(0, len(rows), step):
            batch = collate([{"input_ids": row.ids, "labels": row.labels} for row in rows[at : at + step]])
            losses, _ = token_losses(model, on(model.device, batch))
            total, count = total + losses.sum().item(), count + len(losses)
    model.train(training)
    return total / count


def on(device: Any, batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}


class PackedTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with the packed loss. The held-out loss is the mean over all target tokens, however batched."""

    held_out: Sequence[Encoded] = ()
    control: Any

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        losses, _ = token_losses(model, inputs)
        return losses.sum() / (len(losses) if num_items_in_batch is None else num_items_in_batch)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        loss = target_loss(self.model, self.held_out, self.args.per_device_eval_batch_size)
        metrics = {"eval_loss": loss, "epoch": float(self.state.epoch or 0.0)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
