"""The task itself on a GGUF: greedy rewrites of the test texts, judged as the 16-bit model's were."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from millrace import evaluation
from millrace.evaluation import Judged
from millrace.text import faithfulness

from training_containers.common.rows import Row
from training_containers.serve.llama import Context, Model, Sampling

from .settings import Settings


@dataclass(frozen=True)
class Written:
    outputs: list[str]
    tokens_per_s: float
    """Generated tokens of all examples over the wall time of the whole pass, every thread at work."""


def write(model: Model, examples: Sequence[Row], settings: Settings) -> Written:
    """Greedy answers to every example; one may be twice its prompt long, plus 16 tokens, as in evaluation."""
    prompts = [model.prompt(e.messages(settings.instruction))[-(settings.context - 1) :] for e in examples]
    each = model.threads(settings.cores)
    contexts = [Context(model, settings.context, each) for _ in range(min(settings.cores // each, len(prompts)))]
    idle: SimpleQueue[Context] = SimpleQueue()
    for one in contexts:
        idle.put(one)

    def answer(prompt: list[int]) -> list[int]:
        mine = idle.get()
        try:
            return list(mine.generate(prompt, min(settings.max_new_tokens, 2 * len(prompt) + 16), Sampling()))
        finally:
            idle.put(mine)

    began = time.monotonic()
    try:
        with ThreadPoolExecutor(len(contexts)) as pool:
            answers = list(pool.map(answer, prompts))
    finally:
        for one in contexts:
            one.close()
    took_s = max(time.monotonic() - began, 1e-9)
    return Written([model.text(tokens).strip() for tokens in answers], sum(map(len, answers)) / took_s)


def judged(examples: Sequence[Row], outputs: Sequence[str]) -> list[Judged]:
    """A verdict on each output, by the verifier and the judge that every other step uses."""
    return [
        evaluation.judge(e.source, e.target, output, len(faithfulness.verify(e.source, output)))
        for e, output in zip(examples, outputs, strict=True)
    ]
