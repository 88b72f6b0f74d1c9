"""Base and candidate on the held-out rows: channels `base`, `model` (the adapter) and `test`.

Both write greedily from the same prompts; both losses are nats a token over the targets. The verdicts are
millrace.evaluation's, so the GGUF is judged by the same functions later.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from millrace import evaluation
from millrace.errors import InvalidInput
from millrace.evaluation import Judged
from millrace.text.faithfulness import verify
from millrace.text.scores import score

from training_containers.common import manifest, progress
from training_containers.common.job import Job
from training_containers.common.progress import Reporter
from training_containers.common.rows import Row, read

from . import base as bases
from . import data
from .data import Encoded
from .packing import target_loss
from .settings import EvaluateSettings

# isort: split
import torch
from peft import PeftModel

STRATEGY = "lora-evaluate"
Report = Callable[[int], None]


def evaluate(job: Job) -> None:
    """Write model/evaluation.json, every example by itself, and the manifest with the flat figures."""
    wanted = EvaluateSettings.of(job.hyperparameters)
    path, adapter = bases.folder(job), _adapter(job)
    rows = [row for row in read(job.channel("test"), "test") if row.label][: wanted.max_examples]
    if not rows:
        raise InvalidInput("The channel `test` has no row: a model is judged on held-out texts.")
    reporter = Reporter(2 * len(rows), status="evaluating")
    reporter.step(0)
    tokenizer, model = bases.load(path, wanted.device)
    encoded = data.encode(tokenizer, data.stop_ids(tokenizer, model.generation_config), rows, wanted.instruction)
    model.eval()
    base_outputs, _ = written(model, tokenizer, encoded, wanted, lambda done: reporter.step(done))
    base_loss = target_loss(model, encoded, wanted.batch_size)
    candidate = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    outputs, speed = written(candidate, tokenizer, encoded, wanted, lambda done: reporter.step(len(rows) + done))
    loss = target_loss(candidate, encoded, wanted.batch_size)
    examples = [_example(*both) for both in zip(rows, outputs, base_outputs, strict=True)]
    verdicts, of_base = _verdicts(rows, outputs), _verdicts(rows, base_outputs)
    figures = {
        **evaluation.summarise(verdicts, of_base, wanted.seed),
        "faithful_rate": sum(not example["violations"] for example in examples) / len(examples),
        "ai_likeness_change": _likeness(outputs) - _likeness([row.source for row in rows]),
        "loss": loss,
        "base_loss": base_loss,
        "loss_ratio": loss / base_loss,
        **overlap([row.target for row in rows], outputs),
        "generated_tokens_per_s": speed,
    }
    told = {"slices": by_length(rows, verdicts, of_base, wanted.seed), "examples": examples}
    (job.model / "evaluation.json").write_text(json.dumps(told, ensure_ascii=False, indent=1))
    manifest.write(
        job.model,
        format="evaluation",
        strategy=STRATEGY,
        metrics=figures,
        hyperparameters=wanted.model_dump(),
        source=Path(__file__).parent,
        base=bases.identity(path),
    )
    progress.metrics(figures)


@torch.inference_mode()
def written(
    model: Any, tokenizer: Any, rows: Sequence[Encoded], wanted: EvaluateSettings, report: Report
) -> tuple[list[str], float]:
    """Greedy answers in the rows' order, and tokens a second. At most twice the prompt and 16 tokens each."""
    outputs, tokens, done, began = [""] * len(rows), 0, 0, time.monotonic()
    stops = sorted(data.stop_ids(tokenizer, model.generation_config))
    for batch in _batches(rows, wanted.batch_size):
        longest = max(len(rows[index].prompt) for index in batch)
        ids = torch.full((len(batch), longest), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for place, index in enumerate(batch):
            prompt = torch.tensor(rows[index].prompt)
            ids[place, longest - len(prompt) :], mask[place, longest - len(prompt) :] = prompt, 1
        answers = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            do_sample=False,
            max_new_tokens=min(wanted.max_new_tokens, 2 * longest + 16),
            eos_token_id=stops,
            pad_token_id=tokenizer.pad_token_id,
        )[:, longest:].tolist()
        for index, answer in zip(batch, answers, strict=True):
            end = next((at for at, id in enumerate(answer) if id in stops), len(answer))
            outputs[index] = tokenizer.decode(answer[:end], skip_special_tokens=True).strip()
            tokens += min(end + 1, len(answer))
        done += len(batch)
        report(done)
    return outputs, tokens / (time.monotonic() - began)


def overlap(targets: Sequence[str], outputs: Sequence[str]) -> dict[str, float]:
    """chrF and BLEU over the corpus (sacrebleu, 0..100), mean ROUGE-L F and similarity of characters (0..1)."""
    from rapidfuzz.fuzz import ratio
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    scorer = RougeScorer(["rougeL"])
    scores = [scorer.score(target, output)["rougeL"].fmeasure for target, output in zip(targets, outputs, strict=True)]
    return {
        "chrf": CHRF().corpus_score(list(outputs), [list(targets)]).score,
        "bleu": BLEU(effective_order=True).corpus_score(list(outputs), [list(targets)]).score,
        "rouge_l": sum(scores) / len(scores),
        "similarity": sum(ratio(*both) for both in zip(targets, outputs, strict=True)) / len(scores) / 100,
    }


def by_length(rows: Sequence[Row], candidate: Sequence[Judged], base: Sequence[Judged], seed: int) -> dict[str, Any]:
    """The same rates for the short, middling and long third of the sources, where a third has a row."""
    order = sorted(range(len(rows)), key=lambda index: (len(rows[index].source), index))
    third = -(-len(order) // 3)
    parts = zip(
        ("short", "middling", "long"), (order[at : at + third] for at in range(0, len(order), third)), strict=False
    )
    return {
        name: evaluation.summarise([candidate[i] for i in part], [base[i] for i in part], seed)
        | {"longest_source": max(len(rows[i].source) for i in part)}
        for name, part in parts
    }


def _likeness(texts: Sequence[str]) -> float:
    return sum(score(text)["ai_likeness"] for text in texts) / len(texts)


def _batches(rows: Sequence[Encoded], size: int) -> Iterator[list[int]]:
    """Indices of rows of like lengths."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    return (order[at : at + size] for at in range(0, len(order), size))


def _verdicts(rows: Sequence[Row], outputs: Sequence[str]) -> list[Judged]:
    return [
        evaluation.judge(row.source, row.target, output, len(verify(row.source, output)))
        for row, output in zip(rows, outputs, strict=True)
    ]


def _example(row: Row, output: str, base_output: str) -> dict[str, Any]:
    violations = len(verify(row.source, output))
    verdict = evaluation.judge(row.source, row.target, output, violations)
    return {
        "id": row.id,
        "source": row.source,
        "target": row.target,
        "output": output,
        "base_output": base_output,
        "kept": verdict.kept,
        "edited": verdict.edited,
        "violations": violations,
    }


def _adapter(job: Job) -> Path:
    if not job.has("model"):
        raise InvalidInput("The job has no channel `model`: there is no adapter to evaluate.")
    found = manifest.read(job.channel("model"))
    if found.format != "adapter":
        raise InvalidInput(f"The channel `model` holds a result of format {found.format}, not an adapter.")
    return job.channel("model")
