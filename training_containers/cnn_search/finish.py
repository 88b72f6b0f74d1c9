"""The end of every CNN job: finalists with several seeds, baselines beside them, the test split once, the export.

The winner is chosen by validation alone: mean accuracy over its seeds, then the smaller loss. Its best seed is what is
exported. The test split is then decoded once and all that is reported of it is measured in that one pass: the exported
network, its other seeds, the baselines; nothing is chosen by it. Accuracy is measured in float32 in batches of 512 as
model.py does it, so that file gives the same figure to the last digit.

`cnn-finish` does it for a search whose rounds ran as jobs of their own: channel `trials` holds their result folders.
"""

from __future__ import annotations

import json
import math
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from millrace.architecture import resnet
from millrace.blocks import Recipe
from millrace.errors import TrainingFailed
from millrace.history import Tried, best
from torch import nn

from training_containers.common import manifest, progress
from training_containers.common.job import Job

from . import export, weights
from .build import Network
from .network import REPORT_FILE, Described
from .pool import Say
from .train import Evaluated, Prepared, evaluate
from .trials import Candidate, Harness, Run

FORMAT: Final = "cnn"
LATENCY_LOOKS: Final = 30
Z: Final = 1.959963984540054
"""Of a 95 % interval."""


@dataclass(frozen=True)
class Finalist:
    """What is trained with several seeds. `make`: how, where its spec alone does not say."""

    candidate: Candidate
    described: Described
    make: Callable[[Run, Say], bytes | None] | None = None

    @property
    def epochs(self) -> int:
        return self.candidate.spec.training.epochs


@dataclass(frozen=True)
class Trained:
    """A finalist with its seeds: lines of the journal, best of validation first."""

    finalist: Finalist
    lines: list[dict[str, Any]]

    @property
    def accuracy(self) -> float:
        return statistics.fmean(line["accuracy"] for line in self.lines)

    @property
    def rank(self) -> tuple[float, float]:
        return -self.accuracy, statistics.fmean(line["loss"] for line in self.lines)


def described(harness: Harness, candidate: Candidate) -> Described:
    data = harness.data
    spec = candidate.spec.model_copy(update={"note": ""})
    return Described(task=data.task, classes=data.classes, mean=data.mean, std=data.std, spec=spec)


def conclude(
    job: Job,
    harness: Harness,
    finalists: Sequence[Finalist],
    *,
    strategy: str,
    settings: Any,
    base: str | None = None,
    report: dict[str, Any] | None = None,
) -> None:
    """Train, choose, test once, export, report, and the manifest last."""
    harness.reporter.status = "finishing"
    beside = _baselines(harness, finalists) if settings.baselines else {}
    harness.reporter.steps = harness.done + len(finalists) * settings.seeds + len(beside)
    trained = _trained(harness, finalists, settings.seeds)
    rivals = {name: _trained(harness, [finalist], 1) for name, finalist in beside.items()}
    if not trained:
        raise TrainingFailed(f"No finalist could be trained: {_why(harness, finalists)}")
    winner = min(trained, key=lambda one: one.rank)
    torch.set_num_threads(max(1, harness.pool.workers if harness.device == "cpu" else 4))
    prepare = Prepared.of(harness.data.mean, harness.data.std, "cpu")
    model = _loaded(harness, winner, 0)
    held = evaluate(model, harness.data.validation, prepare)
    test = harness.data.test()
    tested = [evaluate(_loaded(harness, winner, nth), test, prepare) for nth in range(len(winner.lines))]
    figures = _figures(harness, winner, model, held, tested, latency_ms(model, test.images[:1], prepare))
    for name, one in rivals.items():
        if one:
            measured = evaluate(_loaded(harness, one[0], 0), test, prepare)
            figures |= {f"{name}_test_accuracy": measured.accuracy, f"{name}_validation_accuracy": one[0].accuracy}
    export.write(job.model, winner.finalist.described, model)
    told = _report(harness, winner, trained, held, tested[0], figures) | (report or {})
    (job.model / REPORT_FILE).write_text(json.dumps(told, indent=1))
    manifest.write(
        job.model,
        format=FORMAT,
        strategy=strategy,
        metrics=figures,
        hyperparameters=settings.model_dump() | {"winner": winner.finalist.candidate.spec.model_dump()},
        source=Path(__file__).parent,
        base=base,
    )
    harness.reporter.step(harness.reporter.steps, accuracy=held.accuracy, best=harness.best or held.accuracy)
    progress.metrics(figures)


def _trained(harness: Harness, finalists: Sequence[Finalist], seeds: int) -> list[Trained]:
    """Those of which at least one seed came through."""
    runs = {
        finalist.candidate.id: [
            Run(finalist.candidate, finalist.epochs, harness.settings.seed + nth, keep=True) for nth in range(seeds)
        ]
        for finalist in finalists
    }
    lines: dict[str, dict[str, Any]] = {}
    for make in {finalist.make for finalist in finalists}:
        mine = [run for f in finalists if f.make is make for run in runs[f.candidate.id]]
        lines |= harness.train(mine, make=make)
    found = []
    for finalist in finalists:
        good = [lines[run.key] for run in runs[finalist.candidate.id] if lines[run.key]["accuracy"] is not None]
        if good:
            found.append(Trained(finalist, sorted(good, key=lambda line: (-line["accuracy"], line["loss"]))))
    return found


def _why(harness: Harness, finalists: Sequence[Finalist]) -> str:
    ids = {finalist.candidate.id for finalist in finalists}
    errors = [line["error"] for key, line in harness.journal.items() if key.split("-")[0] in ids and line["error"]]
    return errors[-1] if errors else "there was none."


def _baselines(harness: Harness, finalists: Sequence[Finalist]) -> dict[str, Finalist]:
    """A ResNet for as many epochs as the longest finalist, and the best of the first round, which nothing guided."""
    epochs = max(finalist.epochs for finalist in finalists)
    made = {"resnet": Candidate(harness.number + 1, resnet(epochs=epochs), "baseline")}
    first = [t for t in best(harness.history) if t.round == 0 and t.source not in ("baseline", "retry", "user")]
    if first:
        made["best_of_n"] = Candidate(first[0].number, first[0].spec, "baseline")
    own = {finalist.candidate.id: finalist for finalist in finalists}
    return {n: own.get(c.id) or Finalist(c, described(harness, c)) for n, c in made.items()}


def _loaded(harness: Harness, one: Trained, nth: int) -> Network:
    model = one.finalist.described.build()
    path = harness.kept(one.lines[nth]["key"])
    weights.put(model, weights.read(path), path.name)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _figures(
    harness: Harness, winner: Trained, model: Network, held: Evaluated, tested: list[Evaluated], latency: float
) -> dict[str, float]:
    accuracies = [one.accuracy for one in tested]
    confusion = tested[0].confusion
    rows = [sum(row) for row in confusion]
    recalls = [row[i] / sum(row) for i, row in enumerate(confusion) if sum(row)]
    plan = winner.finalist.described.plan()
    lines = list(harness.journal.values())
    low, high = wilson(accuracies[0], sum(rows))
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "validation_accuracy": held.accuracy,
        "validation_loss": held.loss,
        "test_accuracy": accuracies[0],
        "test_loss": tested[0].loss,
        "test_examples": float(sum(rows)),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "majority_share": max(rows) / sum(rows),
        "majority_gain_low": low - max(rows) / sum(rows),
        "worst_class_recall": min(recalls),
        "seeds": float(len(tested)),
        "seed_validation_accuracy_mean": winner.accuracy,
        "seed_test_accuracy_mean": statistics.fmean(accuracies),
        "seed_test_accuracy_std": statistics.pstdev(accuracies),
        "parameters": float(sum(p.numel() for p in model.parameters())),
        "flops": float(sum(leaf.flops for leaf in plan.leaves())),
        "latency_ms": latency,
        "images_per_s": max(one.images_per_s for one in tested),
        "candidates": float(len(harness.history)),
        "failed_candidates": float(sum(t.state == "failed" for t in harness.history)),
        "trainings": float(len(lines)),
        "train_s": sum(line["seconds"] for line in lines),
        "cpu_s": sum(line["cpu_s"] for line in lines) + own.ru_utime + own.ru_stime,
        "ram_peak_bytes": float(max([line["memory_bytes"] for line in lines] + [own.ru_maxrss * 1024])),
        "gpu_peak_bytes": float(max(line["gpu_bytes"] for line in lines)),
        "classes": float(len(harness.data.classes)),
        "images_left_out": float(harness.data.left_out),
    }


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n. Source: Wilson 1927."""
    middle = share + Z * Z / (2 * n)
    reach = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return (middle - reach) / (1 + Z * Z / n), (middle + reach) / (1 + Z * Z / n)


@torch.no_grad()
def latency_ms(model: nn.Module, image: torch.Tensor, prepare: Prepared) -> float:
    """Median of one image alone."""
    times = []
    for _ in range(LATENCY_LOOKS):
        began = time.perf_counter()
        model(prepare(image))
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _report(
    harness: Harness,
    winner: Trained,
    trained: list[Trained],
    held: Evaluated,
    tested: Evaluated,
    figures: dict[str, float],
) -> dict[str, Any]:
    data = harness.data
    return {
        "format": 1,
        "classes": data.classes,
        "counts": {name: dict(Counter(data.classes[row.label] for row in rows)) for name, rows in data.rows.items()},
        "test": {"accuracy": tested.accuracy, "loss": tested.loss, "confusion": tested.confusion},
        "validation": {"accuracy": held.accuracy, "loss": held.loss, "confusion": held.confusion},
        "winner": winner.finalist.candidate.id,
        "finalists": [
            {
                "id": one.finalist.candidate.id,
                "spec": one.finalist.candidate.spec.model_dump(),
                "validation_accuracy": one.accuracy,
                "seeds": [{k: line[k] for k in ("key", "accuracy", "loss", "seconds", "curve")} for line in one.lines],
            }
            for one in trained
        ],
        "baselines": {n: v for n, v in figures.items() if n.startswith(("resnet_", "best_of_n_"))},
        "history": [tried.model_dump() for tried in harness.history],
        "confinement": harness.pool.confinement,
    }


def chosen(harness: Harness, n: int) -> list[Finalist]:
    """The best of the history, whatever rung they came to: finalists are trained whole. TrainingFailed for none."""
    ranked: list[Tried] = best(t for t in harness.history if t.source != "baseline")
    if not ranked:
        raise TrainingFailed(f"None of {len(harness.history)} candidates could be trained: {_last_error(harness)}")
    made = [Candidate(t.number, t.spec, t.source, t.round, t.parent) for t in ranked[:n]]
    return [Finalist(candidate, described(harness, candidate)) for candidate in made]


def _last_error(harness: Harness) -> str:
    return next((t.error for t in reversed(harness.history) if t.error), "there was none.")


def recipe_over(recipe: Recipe, over: dict[str, Any]) -> Recipe:
    """The user's values over the architecture's own."""
    return Recipe.model_validate(recipe.model_dump() | over)
