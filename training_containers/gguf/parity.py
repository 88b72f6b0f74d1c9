"""Whether a GGUF still says what the 16-bit model says: tokens, template, distributions.

Two comparisons. The f16 GGUF is held against the 16-bit weights in torch, which proves the conversion; every
quantised file is held against the f16 GGUF, which proves the quantisation. Measured where the model speaks: at the
positions that predict the target, with the rendered prompt before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training_containers.serve.llama import Context, Model

Logits = NDArray[np.float32]
PROBES: Final = (
    "Plain words.",
    "Two  spaces,\ta tab,\na line and an end ",
    "“Don’t” — naïve café, 1,234.50 €, 日本語, 🙂",
    "def f(x): return x ** 2  # [link](https://example.org/?q=1)",
)
"""Texts on which tokenizers like to differ; the job's own texts are added.

None opens with a space: there Hugging Face's legacy Llama tokenizers add no second one, and SentencePiece does.
"""


@dataclass(frozen=True)
class Passage:
    """Token ids of a prompt and of what should follow it."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def fed(self) -> tuple[int, ...]:
        """All but the last token: nothing is predicted after it."""
        return self.prompt + self.completion[:-1]


@dataclass(frozen=True)
class Distance:
    """How far one model's next-token distributions are from another's."""

    kl_divergence: float
    """Mean over positions of KL(reference || candidate), nats."""
    kl_p99: float
    top_token_agreement: float
    """Share of positions where both would say the same next token."""
    positions: int


def passage(model: Model, messages: list[dict[str, str]], target: str, limit: int) -> Passage:
    """Cut so that prompt and completion together fit `limit` tokens: the completion first, then the prompt's start."""
    end = model.end_of_turn
    completion = [*model.tokenize(target, special=False)[: limit // 2 - 1], end]
    return Passage(tuple(model.prompt(messages)[-(limit - len(completion)) :]), tuple(completion))


def logits(context: Context, passages: Sequence[Passage]) -> Iterator[Logits]:
    """Per passage (len(completion), n_vocab): the distributions that predict its completion."""
    for one in passages:
        context.reset()
        yield np.concatenate(list(context.feed(one.fed, wanted=len(one.completion))))


def distance(reference: Iterator[Logits], candidate: Iterator[Logits]) -> Distance:
    """Compare two models passage by passage."""
    divergences: list[NDArray[np.float64]] = []
    agreed = 0
    for ours, theirs in zip(candidate, reference, strict=True):
        divergences.append(kl(theirs, ours))
        agreed += int((theirs.argmax(axis=1) == ours.argmax(axis=1)).sum())
    every = np.concatenate(divergences)
    return Distance(
        kl_divergence=float(every.mean()),
        kl_p99=float(np.quantile(every, 0.99)),
        top_token_agreement=agreed / len(every),
        positions=len(every),
    )


def kl(reference: Logits, candidate: Logits) -> NDArray[np.float64]:
    """KL(reference || candidate) of each row, nats, >= 0. Both: (rows, n_vocab) raw logits. NaN stays NaN."""
    p, q = _log_softmax(reference), _log_softmax(candidate)
    found: NDArray[np.float64] = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
    return found


def _log_softmax(rows: Logits) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    shifted: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return shifted


class Kept:
    """Reference logits kept on disk, one file a passage: a large vocabulary does not fit in memory."""

    def __init__(self, folder: Path, rows: Iterator[Logits]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.files = [folder / f"{i:05}.npy" for i, row in enumerate(rows) if _saved(folder / f"{i:05}.npy", row)]

    def __iter__(self) -> Iterator[Logits]:
        return (np.load(file) for file in self.files)


def _saved(path: Path, row: Logits) -> bool:
    np.save(path, row)
    return True


def torch_logits(model: Any, passages: Sequence[Passage]) -> Iterator[Logits]:
    """The same of a Hugging Face causal LM in torch."""
    import torch

    for one in passages:
        with torch.inference_mode():
            rows = model(torch.tensor([one.fed], device=model.device)).logits[0, -len(one.completion) :]
        yield rows.float().cpu().numpy()


def disagreement(tokenizer: Any, model: Model, conversations: Sequence[list[dict[str, str]]]) -> str | None:
    """The first difference between a Hugging Face tokenizer and a GGUF's, in words; None where there is none."""
    for messages in conversations:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        if text != model.render(messages):
            return f"The GGUF's chat template renders {messages[-1]['content'][:60]!r} in another way."
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids != (ours := model.prompt(messages)):
            where = next(
                (i for i, (a, b) in enumerate(zip(ids, ours, strict=False)) if a != b), min(len(ids), len(ours))
            )
            return f"The GGUF cuts {messages[-1]['content'][:60]!r} into other tokens, from token {where} on."
        if back := _round_trip(tokenizer, model, messages[-1]["content"]):
            return back
    return None


def _round_trip(tokenizer: Any, model: Model, text: str) -> str | None:
    """Text -> GGUF tokens -> text, by both decoders. A leading space is the tokenizer's own and does not count."""
    ids = model.tokenize(text, special=False)
    decode: Callable[..., str] = tokenizer.decode
    theirs, ours = decode(ids, clean_up_tokenization_spaces=False), model.text(ids)
    if theirs.lstrip() != ours.lstrip():
        return f"The GGUF reads the tokens of {text[:60]!r} back as {ours[:60]!r}, Hugging Face as {theirs[:60]!r}."
    return None
