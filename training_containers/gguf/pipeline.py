"""From a LoRA adapter and its base to the smallest GGUF that passes parity (Q1, Q2).

Channels: `base` (Hugging Face folder), `model` (adapter of lora-sft), `test` (data.jsonl: id, source, target), `train`
(optional: rows that weigh the rounding), `evaluation` (optional: the evaluation step's evaluation.json with the base's
answers; without it the base is converted too and answers again). Result: model.gguf, parity.json with everything found,
millrace.json to serve by.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from millrace import contract, evaluation
from millrace.container import Manifest
from millrace.errors import InvalidInput, TrainingFailed
from millrace.evaluation import Judged

from training_containers.common import manifest, progress
from training_containers.common.job import Job
from training_containers.common.rows import Row
from training_containers.serve.llama import SMALL, Context, Model

from . import converter, imatrix, merge, parity, quantize, settings, tasks
from .settings import Quantization, Settings

STAGES: Final = ("merge", "convert", "tokens", "reference", "importance", "quantize", "parity", "tasks", "write")
F16: Final = "F16"
HELD: Final = ("content_kept_rate", "edit_rate")
"""Task rates in which a smaller file may not fall behind F16."""


@dataclass
class Rung:
    """One file of the ladder and what was found out about it."""

    type: str
    path: Path
    size_bytes: int
    against: str
    """What its distributions were compared with."""
    distance: parity.Distance
    reasons: list[str]
    """Why it does not pass; empty where it does."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The task's, where they were needed: F16's and those of the files tried until one passed."""
    tokens_per_s: float | None = None

    def told(self) -> dict[str, Any]:
        own = {k: v for k, v in asdict(self).items() if k not in ("path", "distance")}
        return {**own, **asdict(self.distance), "passed": not self.reasons}


class Stages:
    """Progress by stage on stdout, and how long each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        progress.Reporter(len(STAGES), every_s=0, status=name).step(STAGES.index(name))
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 3)


def run(job: Job) -> None:
    """Convert, prove, keep the smallest file that passes. When the 16-bit GGUF fails there is no result."""
    wanted = Settings.of(job.hyperparameters)
    parent = manifest.read(job.channel("model"))
    if parent.format != "adapter":
        raise InvalidInput(f"The channel `model` holds {parent.format!r}; an adapter is what is merged here.")
    base_said = settings.base_outputs(job.channel("evaluation"))
    examples = settings.examples(job.channel("test"), wanted.max_examples, base_said)
    stage = Stages()
    with tempfile.TemporaryDirectory(prefix=".gguf-", dir=job.root) as folder:
        scratch = Path(folder)
        with stage("merge"):
            merge.merge(job.channel("base"), job.channel("model"), scratch / "merged")
        with stage("convert"):
            f16, tokenizer, reference = _converted(job, scratch, with_base=base_said is None)
        with stage("tokens"):
            f16 = _with_same_tokens(f16, tokenizer, [_opened(e, wanted) for e in examples])
        model = Model(f16)
        wanted = wanted.model_copy(update={"context": min(wanted.context, model.n_ctx_train)})
        passages = [parity.passage(model, e.messages(wanted.instruction), e.target, wanted.context) for e in examples]
        with stage("reference"):
            top = _proved(model, f16, reference, passages[: wanted.reference_examples], wanted)
        with stage("importance"):
            rows = settings.calibration(job.channel("train"), wanted.imatrix_examples)
            weighing = [parity.passage(model, e.messages(wanted.instruction), e.target, wanted.context) for e in rows]
            importance = imatrix.measured(reference, [p.fed for p in weighing]) if weighing else None
        with stage("quantize"):
            files = {type: scratch / f"{type}.gguf" for type in wanted.ladder}
            for type, path in files.items():
                quantize.quantize(f16, path, type, wanted.cores, importance)
        with stage("parity"):
            rungs = _measured(model, files, passages, scratch / "logits", wanted)
        with stage("tasks"):
            if base_said is None:
                outputs = tasks.write(Model(scratch / "base.gguf"), examples, wanted).outputs
            else:
                outputs = [base_said[example.id] for example in examples]
            winner = _smallest(top, rungs, examples, tasks.judged(examples, outputs), wanted)
        with stage("write"):
            weighed = {"rows": len(weighing), "tokens": sum(len(p.fed) for p in weighing)}
            found = {"ladder": [r.told() for r in (top, *rungs)], "importance": weighed, "seconds": stage.seconds}
            _write(job, parent, wanted, winner, top, found)


def _converted(job: Job, scratch: Path, with_base: bool) -> tuple[Path, Any, Any]:
    """The f16 GGUF, and meanwhile, since both must import torch, the tokenizer and the 16-bit model in torch."""
    to, of_base = scratch / "f16.gguf", scratch / "base.gguf"
    running = [(converter.start(scratch / "merged", to), to)]
    if with_base:
        running.append((converter.start(job.channel("base"), of_base), of_base))
    try:
        tokenizer, reference = _loaded(scratch / "merged")
    finally:
        for process, path in running:
            converter.finish(process, path)
    return to, tokenizer, reference


def _loaded(merged: Path) -> tuple[Any, Any]:
    """Tokenizer and 16-bit weights, computed in float32 where they are small and on the GPU where there is one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    size = sum(path.stat().st_size for path in merged.glob("*.safetensors"))
    if size < SMALL:
        torch.set_num_threads(1)
    dtype = torch.float32 if size < 4 * 2**30 else torch.float16
    model = AutoModelForCausalLM.from_pretrained(merged, dtype=dtype, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(merged, local_files_only=True)
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _with_same_tokens(f16: Path, tokenizer: Any, talks: list[list[dict[str, str]]]) -> Path:
    """The file whose tokens and template are Hugging Face's. llama.cpp's Phi-3 converter leaves one setting out."""
    talks = [[{"role": "user", "content": probe}] for probe in parity.PROBES] + talks
    if (first := parity.disagreement(tokenizer, Model(f16), talks)) is None:
        return f16
    other = quantize.without_space_prefix(f16, f16.with_name("f16-no-prefix.gguf"))
    if parity.disagreement(tokenizer, Model(other), talks) is None:
        return other
    raise TrainingFailed(f"The 16-bit GGUF does not read text as the trained model does. {first}")


def _opened(example: Row, wanted: Settings) -> list[dict[str, str]]:
    """The messages without a space at the start, see parity.PROBES."""
    return [{**m, "content": m["content"].lstrip()} for m in example.messages(wanted.instruction)]


def _proved(model: Model, f16: Path, reference: Any, passages: list[parity.Passage], wanted: Settings) -> Rung:
    """F16 against torch: it must pass before anything is quantised."""
    context = Context(model, wanted.context, model.threads(wanted.cores))
    found = parity.distance(parity.torch_logits(reference, passages), parity.logits(context, passages))
    context.close()
    top = _rung(F16, f16, "the 16-bit weights in torch", found, wanted)
    if top.reasons:
        raise TrainingFailed(f"The 16-bit GGUF does not say what the 16-bit weights say: {' '.join(top.reasons)}")
    return top


def _measured(
    model: Model, files: Mapping[Quantization, Path], passages: list[parity.Passage], scratch: Path, wanted: Settings
) -> list[Rung]:
    """Every quantised file against F16, largest first."""
    context = Context(model, wanted.context, model.threads(wanted.cores))
    kept = parity.Kept(scratch, parity.logits(context, passages))
    context.close()
    rungs = []
    for type, path in files.items():
        smaller = Model(path)
        context = Context(smaller, wanted.context, smaller.threads(wanted.cores))
        rungs.append(_rung(type, path, F16, parity.distance(iter(kept), parity.logits(context, passages)), wanted))
        context.close()
        smaller.close()
    return sorted(rungs, key=lambda rung: -rung.size_bytes)


def _rung(type: str, path: Path, against: str, found: parity.Distance, wanted: Settings) -> Rung:
    reasons = []
    if not found.kl_divergence <= wanted.kl_max:  # NaN fails too
        reasons.append(f"KL divergence {found.kl_divergence:.4f} is over {wanted.kl_max}.")
    if found.top_token_agreement < wanted.top_token_agreement_min:
        reasons.append(
            f"The top token is the same at {found.top_token_agreement:.1%} of {found.positions} positions, "
            f"under {wanted.top_token_agreement_min:.1%}."
        )
    return Rung(type, path, path.stat().st_size, against, found, reasons)


def _smallest(top: Rung, rungs: list[Rung], examples: list[Row], base: list[Judged], wanted: Settings) -> Rung:
    """From the smallest up: the first that passes parity and does the task as well as F16. F16 where none does."""
    _do_task(top, examples, base, wanted)
    for rung in sorted((r for r in rungs if not r.reasons), key=lambda r: r.size_bytes):
        _do_task(rung, examples, base, wanted)
        rung.reasons += [
            f"{name} falls from {top.metrics[name]:.3f} to {rung.metrics[name]:.3f}."
            for name in HELD
            if rung.metrics[name] < top.metrics[name] - wanted.task_drop_max
        ]
        if not rung.reasons:
            return rung
    return top


def _do_task(rung: Rung, examples: list[Row], base: list[Judged], wanted: Settings) -> None:
    model = Model(rung.path)
    written = tasks.write(model, examples, wanted)
    model.close()
    rung.metrics = evaluation.summarise(tasks.judged(examples, written.outputs), base, wanted.seed)
    rung.tokens_per_s = round(written.tokens_per_s, 1)


def _write(
    job: Job,
    parent: Manifest,
    wanted: Settings,
    winner: Rung,
    top: Rung,
    found: dict[str, Any],
) -> None:
    """The winner alone, the report, what serving needs, and the manifest last."""
    shutil.copyfile(winner.path, job.model / "model.gguf")
    report = {"winner": winner.type, "settings": wanted.model_dump(), **found}
    (job.model / "parity.json").write_text(json.dumps(report, indent=1))
    serving = {
        "instruction": wanted.instruction,
        "context": wanted.context,
        "max_new_tokens": wanted.max_new_tokens,
        "stop": [],
        "chat_template": "gguf" if Model(winner.path).template else None,
        "quantization": winner.type,
        "base": parent.base,
    }
    (job.model / "millrace.json").write_text(json.dumps(serving, indent=1))
    metrics = winner.metrics | {
        "kl_divergence": winner.distance.kl_divergence,
        "top_token_agreement": winner.distance.top_token_agreement,
        "size_bytes": float(winner.size_bytes),
        "f16_size_bytes": float(top.size_bytes),
        "tokens_per_s": winner.tokens_per_s or 0.0,
        "parity_passed": float(not winner.reasons),
    }
    manifest.write(
        job.model,
        format="gguf",
        strategy="gguf",
        metrics=metrics,
        hyperparameters=wanted.model_dump(),
        source=Path(__file__).parent,
        base=manifest.sha256(job.channel("model") / contract.MANIFEST),
    )
    progress.Reporter(len(STAGES), every_s=0, status="done").step(len(STAGES))
    progress.metrics(metrics)
