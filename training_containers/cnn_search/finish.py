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
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from millrace.architecture import Spec, resnet
from millrace.blocks import Recipe
from millrace.contract import OUT_OF_MEMORY
from millrace.errors import InvalidInput, TrainingFailed
from millrace.evolution import retried
from millrace.history import Tried, best
from pydantic import ValidationError
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
    after: str | None = None
    """Why the one failed in whose place this is."""

    @property
    def epochs(self) -> int:
        return self.candidate.spec.training.epochs

    def instead(self, spec: Spec, why: str) -> Finalist:
        """The same network with another recipe."""
        candidate = replace(self.candidate, spec=spec, source="retry", parent=self.candidate.id)
        told = self.described.model_copy(update={"spec": self.described.spec and spec})
        return replace(self, candidate=candidate, described=told, after=why)


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
    trained, easier = _trained(harness, finalists, settings.seeds)
    if not trained:
        last = next(line for line in reversed(harness.journal.values()) if line["error"])
        raise untrained("No finalist", last["code"] if easier else "", last["error"])
    rivals = {name: _trained(harness, [finalist], 1)[0] for name, finalist in beside.items()}
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
        hyperparameters=_settled(settings, winner) | {"winner": winner.finalist.candidate.spec.model_dump()},
        source=Path(__file__).parent,
        base=base,
    )
    harness.reporter.step(harness.reporter.steps, accuracy=held.accuracy, best=harness.best or held.accuracy)
    progress.metrics(figures)


def _settled(settings: Any, winner: Trained) -> dict[str, Any]:
    """As it was trained: what was left to the recipe, and what a retry put in the place of what was asked for."""
    recipe = winner.finalist.candidate.spec.training
    asked: dict[str, Any] = settings.model_dump()
    return asked | {name: value for name, value in recipe.model_dump().items() if name in asked}


def _trained(harness: Harness, finalists: Sequence[Finalist], seeds: int) -> tuple[list[Trained], bool]:
    """Those of which at least one seed came through. One of which none did is tried again with other values.

    And whether some of them were left to try: only then would the job, begun again, do better.
    """
    found, left = list[Trained](), list(finalists)
    for _ in range(harness.settings.retries + 1):
        eased = list[Finalist]()
        for finalist, lines in zip(left, _lines(harness, left, seeds), strict=True):
            good = [line for line in lines if line["accuracy"] is not None]
            if good:
                found.append(Trained(finalist, sorted(good, key=lambda line: (-line["accuracy"], line["loss"]))))
            elif (spec := retried(finalist.candidate.spec, lines[0]["code"])) is not None:
                eased.append(finalist.instead(spec, lines[0]["error"]))
        left = eased
        if not left:
            break
    return found, bool(left)


def _lines(harness: Harness, finalists: Sequence[Finalist], seeds: int) -> list[list[dict[str, Any]]]:
    """By finalist, its seeds' lines of the journal."""
    runs = [
        [Run(finalist.candidate, finalist.epochs, harness.settings.seed + nth, keep=True) for nth in range(seeds)]
        for finalist in finalists
    ]
    lines: dict[str, dict[str, Any]] = {}
    for make in {finalist.make for finalist in finalists}:
        mine = [run for finalist, its in zip(finalists, runs, strict=True) if finalist.make is make for run in its]
        lines |= harness.train(mine, make=make)
    return [[lines[run.key] for run in its] for its in runs]


def untrained(what: str, code: str, error: str | None) -> TrainingFailed:
    """A lack of memory begins as the contract has it, so that whoever begins the job again knows."""
    short = f"{OUT_OF_MEMORY} " if code == "memory" else ""
    return TrainingFailed(f"{short}{what} could be trained: {error or 'there was none.'}")


def _baselines(harness: Harness, finalists: Sequence[Finalist]) -> dict[str, Finalist]:
    """A ResNet for as many epochs as the longest finalist, and the best of the first round.

    That round is the best of N whatever proposed it, for no history guided it: what the later rounds added is what the
    winner has over it. A language model that proposed it had its own knowledge, as it has in a search of one round.
    """
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
    low, high = wilson(accuracies[0], sum(rows))
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
        **harness.spent.model_dump(),
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
                "after": one.finalist.after,
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
        code, error = next(((t.code, t.error) for t in reversed(harness.history) if t.error), ("", None))
        raise untrained(f"None of {len(harness.history)} candidates", code, error)
    made = [Candidate(t.number, t.spec, t.source, t.round, t.parent) for t in ranked[:n]]
    return [Finalist(candidate, described(harness, candidate)) for candidate in made]


def recipe_over(recipe: Recipe, over: dict[str, Any]) -> Recipe:
    """The user's values over the architecture's own. InvalidInput names the first that no recipe takes."""
    try:
        return Recipe.model_validate(recipe.model_dump() | over)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
