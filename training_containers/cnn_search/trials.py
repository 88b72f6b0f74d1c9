"""Candidates trained in rungs, each in a confined process: successive halving, retries, and a journal to resume by.

A training is a function of (spec, epochs, seed, data), so its line in `checkpoints/trials.jsonl` stands for it: a job
that was killed does again only what was under way. Jamieson and Talwalkar 2016; every rung trains from scratch on one
whole cycle of the rate, which tells more of the end than the beginning of a long one.
"""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from millrace import architecture
from millrace.architecture import Cost, Spec
from millrace.evolution import retried
from millrace.history import Source, Tried
from pydantic import BaseModel, ConfigDict
from torch import nn

from training_containers.common.progress import Reporter

from . import odds, proxies, weights
from .build import Network
from .data import Data
from .pool import Done, Pool, Say, Task
from .settings import Common
from .train import Diverged, Prepared, fit, seeded

WORTH_THREADS: Final = 4e9
"""FLOPs of a step from which a second thread helps; below it threads wait for each other, on busy cores for long."""
SPARE_BYTES: Final = 1_536 << 20
"""What torch maps beside the tensors of a training."""


@dataclass(frozen=True)
class Candidate:
    number: int
    spec: Spec
    source: Source
    round: int = 0
    parent: str | None = None
    name: str = ""
    """Of what a training has beside its spec, as a transfer its base."""

    @property
    def id(self) -> str:
        return self.name + architecture.digest(self.spec)


@dataclass(frozen=True)
class Run:
    """One training. `keep`: its weights come back."""

    candidate: Candidate
    epochs: int
    seed: int
    keep: bool = False
    target: float = math.inf
    """Validation accuracy at which it ends before its epochs do; a finalist's never."""
    yields: bool = False
    """Ends where it lies far behind its target."""

    @property
    def key(self) -> str:
        early = f"-{self.target}" if math.isfinite(self.target) else ""
        return f"{self.candidate.id}-{self.epochs}-{self.seed}{early}{'-yields' if self.yields else ''}"

    def gave_way(self, line: dict[str, Any]) -> bool:
        """By its line in the journal."""
        return self.yields and not line["error"] and line["accuracy"] < self.target and _epochs(line) < self.epochs


class Spent(BaseModel):
    """What the trainings of containers took: sums, and the highest peak of one process."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trainings: float = 0.0
    train_s: float = 0.0
    cpu_s: float = 0.0
    ram_peak_bytes: float = 0.0
    gpu_peak_bytes: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        mine, theirs = self.model_dump(), other.model_dump()
        return Spent(**{n: max(mine[n], theirs[n]) if "peak" in n else mine[n] + theirs[n] for n in mine})


@dataclass
class Harness:
    """Runs trainings of one job; remembers what was tried, and says how it goes."""

    data: Data
    settings: Common
    checkpoints: Path
    device: str
    memory_bytes: int
    reporter: Reporter = field(default_factory=lambda: Reporter(0, status="searching"))
    history: list[Tried] = field(default_factory=list)
    before: Spent = field(default_factory=Spent)
    """In the containers of the rounds before."""
    done: int = 0
    """Trainings that ended."""

    def __post_init__(self) -> None:
        self.pool = Pool(self.settings.at_once(self.device), self.data.images.archive, self.device != "cpu")
        self.cores = max(1, len(os.sched_getaffinity(0)) // self.pool.workers) if self.device == "cpu" else 1
        self.journal = _journal(self.checkpoints / "trials.jsonl")
        self.stopped = False
        torch.set_num_threads(1)  # no thread of OpenMP's may be lost in a fork

    @property
    def best(self) -> float | None:
        return max((t.accuracy for t in self.history if t.accuracy is not None), default=None)

    @property
    def number(self) -> int:
        return max((tried.number for tried in self.history), default=0)

    @property
    def spent(self) -> Spent:
        """In this container, its earlier attempts' trainings too, and before."""
        own, lines = resource.getrusage(resource.RUSAGE_SELF), list(self.journal.values())
        here = Spent(
            trainings=len(lines),
            train_s=sum(line["seconds"] for line in lines),
            cpu_s=sum(line["cpu_s"] for line in lines) + own.ru_utime + own.ru_stime,
            ram_peak_bytes=max([line["memory_bytes"] for line in lines] + [own.ru_maxrss * 1024]),
            gpu_peak_bytes=max((line["gpu_bytes"] for line in lines), default=0),
        )
        return self.before + here

    # --- trainings ----------------------------------------------------------------------------------------------------
    def train(
        self,
        runs: Sequence[Run],
        enough: Callable[[dict[str, Any]], bool] = lambda line: False,
        deadline: float | None = None,
        make: Callable[[Run, Say], bytes | None] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Lines of the journal by key, old and new. What was under way when it was `enough` is not among them."""
        by_number = dict(enumerate(runs))
        found = {run.key: self.journal[run.key] for run in runs if self._known(run)}
        self.done += len(found)
        if any(enough(line) for line in found.values()):
            return found
        work = make or self._work
        tasks = [
            Task(
                key=number,
                work=lambda say, run=run: work(run, say),  # type: ignore[misc]
                timeout_s=self.settings.trial_timeout_s,
                memory_bytes=0 if self.device == "cuda" else self.memory_bytes + SPARE_BYTES,
                weights_bytes=self.memory_bytes,
            )
            for number, run in by_number.items()
            if run.key not in found
        ]

        def heard(number: int, line: dict[str, Any]) -> None:
            self._say(by_number[number], line)

        def ended(done: Done) -> bool:
            run = by_number[done.key]
            found[run.key] = line = self._record(run, done)
            self.done += 1
            told = line["curve"][-1] if line["curve"] else None
            self._say(run, {"epoch": run.epochs, "loss": told and told[1], "accuracy": line["accuracy"]}, always=True)
            return enough(line)

        self.pool.run(tasks, heard, ended, deadline)
        return found

    def _known(self, run: Run) -> bool:
        line = self.journal.get(run.key)
        return line is not None and (not run.keep or bool(line["error"]) or self.kept(run.key).is_file())

    def kept(self, key: str) -> Path:
        return self.checkpoints / "weights" / f"{key}.safetensors"

    def _work(self, run: Run, say: Say) -> bytes | None:
        """In the child: draw, train, look."""
        seeded(run.seed, "cpu")
        model = Network(architecture.plan(run.candidate.spec, self.data.task))
        recipe = run.candidate.spec.training.model_copy(update={"epochs": run.epochs})
        return self.fitted(model, recipe, run, say)

    def fitted(self, model: nn.Module, recipe: Any, run: Run, say: Say, rates: Any = None) -> bytes | None:
        flops = 3 * self.cost(run.candidate.spec).flops * recipe.batch_size
        torch.set_num_threads(self.cores if flops > WORTH_THREADS or run.candidate.name else 1)
        prepare = Prepared.of(self.data.mean, self.data.std, self.device)
        fit(
            model,
            self.data.train,
            self.data.validation,
            recipe,
            prepare,
            seed=run.seed,
            device=self.device,
            look=lambda told: say({"type": "look", **vars(told)}),
            rates=rates,
            target=run.target,
            yields=run.yields,
        )
        peak = torch.cuda.max_memory_allocated() if self.device == "cuda" else 0
        say({"type": "gpu", "gpu_bytes": peak})
        return weights.dumps(model) if run.keep else None

    def _record(self, run: Run, done: Done) -> dict[str, Any]:
        looks = [line for line in done.lines if line.get("type") == "look"]
        gpu = next((line["gpu_bytes"] for line in done.lines if line.get("type") == "gpu"), 0)
        last = looks[-1] if looks and done.error is None else None
        line = {
            "key": run.key,
            "accuracy": last and last["accuracy"],
            "loss": last and last["validation_loss"],
            "curve": [(look["epoch"], look["loss"], look["accuracy"]) for look in looks],
            "seconds": round(done.seconds, 3),
            "cpu_s": round(done.cpu_s, 3),
            "memory_bytes": done.memory_bytes,
            "gpu_bytes": gpu,
            "error": done.error,
            "code": done.code,
        }
        if done.weights is not None:
            path = self.kept(run.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".part").write_bytes(done.weights)
            path.with_suffix(".part").replace(path)
        self.journal[run.key] = line
        with (self.checkpoints / "trials.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return line

    def _say(self, run: Run, line: dict[str, Any], always: bool = False) -> None:
        if "epoch" not in line:
            return
        scores = [s for s in (self.best, line.get("accuracy")) if s is not None]
        self.reporter.step(
            min(self.done, self.reporter.steps),
            always=always,
            trial=run.candidate.number,
            epoch=line["epoch"],
            loss=line.get("loss"),
            accuracy=line.get("accuracy"),
            best=max(scores, default=None),
            metrics={"epochs": float(run.epochs), "seed": float(run.seed), "round": float(run.candidate.round)},
        )

    # --- halving ------------------------------------------------------------------------------------------------------
    def halve(
        self,
        candidates: Sequence[Candidate],
        shares: Sequence[float],
        keep: float,
        target: float = 1.0,
        retries: int = 0,
        deadline: float | None = None,
    ) -> bool:
        """Train all for the first share of their epochs, the better ones for the next; into the history.

        True as soon as one reaches the target on validation: then the rest is left where it stands.
        """
        alive, reached = list(candidates), False
        early = target if target < 1 else math.inf
        enough = _reaching(target)
        for rung, share in enumerate(shares):
            runs = [self._run(c, share, share == shares[-1], early) for c in alive]
            lines = self.train(runs, enough, deadline)
            if not rung and retries:
                more = self._again(runs, lines, retries, enough, deadline)
                runs += more
                alive += [run.candidate for run in more]
                lines |= {run.key: self.journal[run.key] for run in more if run.key in self.journal}
            by_id = {run.candidate.id: lines[run.key] for run in runs if run.key in lines}
            for run in runs:
                if run.key in lines:
                    self._remember(run, lines[run.key], final=share == shares[-1])
            reached = any(enough(line) for line in lines.values())
            if reached or (deadline is not None and time.monotonic() > deadline):
                return reached
            good = [c for c in alive if by_id.get(c.id, {}).get("accuracy") is not None]
            good.sort(key=lambda c: (-by_id[c.id]["accuracy"], by_id[c.id]["loss"], c.number))
            alive = good[: max(1, math.ceil(keep * len(good)))]
        return reached

    def scout(
        self, candidates: Sequence[Candidate], target: float, retries: int = 0, deadline: float | None = None
    ) -> list[Candidate]:
        """All go the whole way, one after another, until one reaches the target; who falls far behind gives way.

        Where the task is easy that is all it takes. What is given back are those that gave way: rungs are for them.
        """
        enough = _reaching(target)
        runs = [Run(c, c.spec.training.epochs, self.settings.seed, False, target, True) for c in candidates]
        lines = self.train(runs, enough, deadline)
        if retries and not any(enough(line) for line in lines.values()):
            runs += self._again(runs, lines, retries, enough, deadline)
        tried = [(run, self.journal[run.key]) for run in runs if run.key in self.journal]
        for run, line in tried:
            self._remember(run, line, final=not run.gave_way(line))
        return [run.candidate for run, line in tried if run.gave_way(line)]

    def by_odds(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Whoever gets furthest for its time first."""
        samples = len(self.data.train)
        return sorted(candidates, key=lambda c: (-odds.worth(c.spec, self.cost(c.spec), samples), c.number))

    def _run(self, candidate: Candidate, share: float, last: bool, early: float) -> Run:
        """The weights of the last rung are kept: a finalist's first seed is trained already, if to its end."""
        epochs = max(1, round(share * candidate.spec.training.epochs))
        return Run(candidate, epochs, self.settings.seed, last and not math.isfinite(early), early)

    def _again(
        self,
        runs: Iterable[Run],
        lines: dict[str, dict[str, Any]],
        retries: int,
        enough: Callable[[dict[str, Any]], bool],
        deadline: float | None,
    ) -> list[Run]:
        """Failed candidates with other hyperparameters, and those of them that fail again once more."""
        number = max(self.number, *(run.candidate.number for run in runs), 0)
        failed, made = list(runs), list[Run]()
        for _ in range(retries):
            fresh: list[Run] = []
            for run in failed:
                line = lines.get(run.key)
                spec = retried(run.candidate.spec, line["code"]) if line and line["error"] else None
                if spec is not None:
                    number += 1
                    parent = run.candidate
                    other = Candidate(number, spec, "retry", parent.round, parent.id)
                    epochs = min(run.epochs, spec.training.epochs)
                    fresh.append(Run(other, epochs, run.seed, run.keep, run.target, run.yields))
            if not fresh:
                break
            lines |= self.train(fresh, enough, deadline)
            made += fresh
            failed = fresh
        return made

    def _remember(self, run: Run, line: dict[str, Any], final: bool) -> None:
        """The candidate's line in the history, replaced as it comes further."""
        candidate, costs = run.candidate, self.cost(run.candidate.spec)
        state = "failed" if line["error"] else "completed" if final else "stopped"
        tried = Tried(
            id=candidate.id,
            number=candidate.number,
            spec=candidate.spec,
            state=state,  # type: ignore[arg-type]
            source=candidate.source,
            parent=candidate.parent,
            round=candidate.round,
            epochs=_epochs(line) if run.gave_way(line) else run.epochs,
            seed=run.seed,
            parameters=costs.parameters,
            flops=costs.flops,
            **{name: line[name] for name in ("accuracy", "loss", "curve", "seconds", "memory_bytes", "code", "error")},
        )
        self.history = [old for old in self.history if old.id != tried.id] + [tried]

    def cost(self, spec: Spec) -> Cost:
        return architecture.cost(spec, self.data.task)

    # --- proxies ------------------------------------------------------------------------------------------------------
    def promising(self, specs: Sequence[Spec], n: int) -> list[Spec]:
        """The `n` with the best marks before any training, in the order they came in."""
        if len(specs) <= n:
            return list(specs)

        def work(say: Say) -> None:
            prepare = Prepared.of(self.data.mean, self.data.std, "cpu")
            for number, spec in enumerate(specs):
                try:
                    mark = proxies.mark(Network(architecture.plan(spec, self.data.task)), self.data.train, prepare)
                except (Diverged, RuntimeError):
                    continue  # it will never train: no mark
                say({"type": "mark", "number": number, "mark": mark})

        marks: dict[int, float] = {}
        task = Task(0, work, self.settings.trial_timeout_s, self.memory_bytes + SPARE_BYTES)
        self.pool.run([task], lambda _, line: marks.update({line["number"]: line["mark"]}))
        order = sorted(range(len(specs)), key=lambda i: -marks.get(i, -math.inf))
        return [specs[i] for i in sorted(order[:n])]


def _reaching(target: float) -> Callable[[dict[str, Any]], bool]:
    """Whether a line of the journal does."""
    return lambda line: line["accuracy"] is not None and line["accuracy"] >= target


def _epochs(line: dict[str, Any]) -> int:
    """After which it was looked at last."""
    return int(line["curve"][-1][0]) if line["curve"] else 0


def _journal(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier attempt wrote; a last line that was cut off is left out."""
    found: dict[str, dict[str, Any]] = {}
    if path.is_file():
        text = path.read_text()
        for raw in text.splitlines():
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            found[line["key"]] = line
        if text and not text.endswith("\n"):
            with path.open("a") as file:
                file.write("\n")
    return found
