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
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface
from trl import SFTTrainer

from .data import Encoded

ROWS: Final = "rows"
"""Name of the attention; the model is switched to it for packed passes only."""
CHUNK: Final = 1 << 19
"""Logits that are in memory in float32 at once: as many as a core's cache holds."""
SEEN_BY: Final = 128
"""Queries of a row that are answered at once on a CPU."""


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
    lengths = list(row_lengths) or [query.shape[2]]
    if not query.is_cuda and softcap is None and not dropout:
        out: Tensor = _Attended.apply(query[0], key[0], value[0], lengths, scale, sliding_window)  # type: ignore[no-untyped-call]
        return out[None], None
    made = []
    for q, k, v in zip(*(torch.split(part, lengths, dim=2) for part in (query, key, value)), strict=True):
        narrow = sliding_window is not None and sliding_window < q.shape[2]
        if q.is_cuda and softcap is None and not narrow:
            made.append(scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scale))
        else:
            made.append(_plain(q, k, v, scale, dropout, sliding_window if narrow else None, softcap))
    return torch.cat(made, dim=2).transpose(1, 2).contiguous(), None


class _Attended(torch.autograd.Function):
    """Attention within each row by plain products, `SEEN_BY` queries at once: keys that none of them sees cost nothing.

    On a CPU the fused kernel's backward takes four times as long at rows of a hundred tokens, and autograd's own of
    this keeps the weights twice, once in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, lengths: list[int], scale: float, window: int | None
    ) -> Tensor:
        """query, key and value (heads, tokens, d) -> (tokens, heads, d)."""
        heads, tokens, _ = query.shape
        out, kept = value.new_empty(tokens, heads, value.shape[-1]), []
        ctx.spans, ctx.scale = list(_spans(lengths, window)), scale
        for asking, seen, mask in ctx.spans:
            hidden = _mask(*mask, query.dtype, query.device)
            scores = torch.baddbmm(hidden, query[:, asking], key[:, seen].transpose(1, 2), alpha=scale)
            kept.append(scores.softmax(dim=-1))
            out[asking] = torch.bmm(kept[-1], value[:, seen]).transpose(0, 1)
        ctx.save_for_backward(query, key, value, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        of_out = gradients[0].transpose(0, 1)
        of_query, of_key, of_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for (asking, seen, _), weights in zip(ctx.spans, kept, strict=True):
            mine = of_out[:, asking]
            of_value[:, seen] += torch.bmm(weights.transpose(1, 2), mine)
            of_weights = torch.bmm(mine, value[:, seen].transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
            of_query[:, asking] = torch.bmm(of_scores, key[:, seen])
            of_key[:, seen] += torch.bmm(of_scores.transpose(1, 2), query[:, asking])
        return of_query, of_key, of_value, None, None, None


def _spans(lengths: Sequence[int], window: int | None) -> Iterator[tuple[slice, slice, tuple[int, int, int | None]]]:
    """(tokens that ask, tokens that one of them sees, both counts and the window) over rows end to end."""
    start = 0
    for length in lengths:
        for at in range(start, start + length, SEEN_BY):
            end = min(at + SEEN_BY, start + length)
            first = start if window is None else max(start, at + 1 - window)
            yield slice(at, end), slice(first, end), (end - at, end - first, window)
        start += length


def _plain(
    q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float, window: int | None, softcap: float | None
) -> Tensor:
    mask = _mask(q.shape[2], q.shape[2], window, q.dtype, q.device)
    if softcap is None:
        scores = torch.baddbmm(mask[None], q[0], k[0].transpose(1, 2), alpha=scale)
    else:
        scores = torch.tanh(q[0] @ k[0].transpose(1, 2) * (scale / softcap)) * softcap + mask
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype)
    return (torch.dropout(weights, dropout, dropout > 0.0) @ v[0])[None]


@lru_cache(maxsize=512)
def _mask(asking: int, seen: int, window: int | None, dtype: torch.dtype, device: Any) -> Tensor:
    """(asking, seen), both ending with the same token: 0 where one sees the other, -inf where it does not."""
    allowed = torch.ones(asking, seen, dtype=torch.bool, device=device).tril(seen - asking)
    if window is not None:
        allowed = allowed.triu(seen - asking + 1 - window)
    return torch.zeros(asking, seen, dtype=dtype, device=device).masked_fill(~allowed, float("-inf"))


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
    losses: Tensor = _CrossEntropy.apply(logits, wanted)  # type: ignore[no-untyped-call]
    number = torch.repeat_interleave(torch.tensor(batch["row_lengths"], device=labels.device))
    return losses, number[at + 1]


class _CrossEntropy(torch.autograd.Function):
    """-log p of each wanted token in float32, of which only `CHUNK` numbers or so are there at a time.

    Autograd's own keeps all logits once more in float32: several times what a pass through the blocks keeps.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, wanted: Tensor) -> Tensor:
        """logits (n, vocabulary), wanted (n,) -> (n,) in float32."""
        step = max(1, CHUNK // logits.shape[1])
        total = torch.cat([part.float().logsumexp(1) for part in torch.split(logits, step)])
        ctx.save_for_backward(logits, wanted, total)
        ctx.step = step
        return total - logits.gather(1, wanted[:, None]).squeeze(1).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, wanted, total = ctx.saved_tensors
        made = torch.empty_like(logits)
        every = zip(*(torch.split(each, ctx.step) for each in (made, logits, wanted, total, gradients[0])), strict=True)
        for out, part, ids, sum_of, gradient in every:
            likely = part.float().sub_(sum_of[:, None]).exp_()
            likely.scatter_add_(1, ids[:, None], torch.full_like(likely[:, :1], -1.0))
            torch.mul(likely, gradient[:, None], out=likely)
            out.copy_(likely)
        return made, None


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
