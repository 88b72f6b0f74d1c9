"""The search, whole in one container (`cnn-search`), or a round of it (`cnn-trials`) with its end (`cnn-finish`).

cnn-search: channel `train` (an image channel, see common/images.py). Proposals come from evolution, for there is no
network here. Result: model.safetensors, network.json, model.py, report.json (history, confusion, finalists).
cnn-trials: channels `train` and `proposals` (proposals.json: {"specs": [...], "source": "llm"|"evolution", "parents":
{digest: digest}, "sources": {digest: who proposed it, if not `source`}}), or the hyperparameter `specs`; optional
`trials`: folders of earlier rounds. Result: results.json, {"format": 1, "round", "task", "tried": [history.Tried, the
earlier rounds' too], "refused": [sentences], "best", "reached", "spent": trials.Spent of this round, "confinement"};
figures best_accuracy, reached (1 where the target was met), candidates, failed_candidates.
cnn-finish: channels `train` and `trials`; every results.json below `trials` is read, and the latest round wins.
Give all of them the same seed, split_seed and size: the splits follow from them.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

import torch
from millrace import architecture
from millrace.errors import InvalidInput
from millrace.evolution import evolve
from millrace.history import Proposed, Search, Source, Tried
from pydantic import BaseModel, ConfigDict, ValidationError

from training_containers.common import manifest, progress
from training_containers.common.job import Job
from training_containers.common.progress import Reporter

from . import data
from .finish import chosen, conclude
from .settings import Bounded, Common, FinishSettings, SearchSettings, TrialsSettings
from .train import device_for
from .trials import Candidate, Harness, Spent

RESULTS: Final = "results.json"
PROPOSALS: Final = "proposals.json"


def prepared(job: Job, settings: Common, memory_mb: int) -> Harness:
    """Images, splits and the pool."""
    Reporter(1, status="loading").step(0)
    torch.set_num_threads(1)  # before anything is computed: a fork loses the threads of OpenMP, and waits for them
    if not job.has("train"):
        raise InvalidInput("The job has no channel `train`.")
    device = device_for(settings.device)
    loaded = data.load(job.channel("train"), settings.split_seed, settings.size)
    return Harness(loaded, settings, job.checkpoints, device, memory_mb << 20)


def search(job: Job) -> None:
    """Rounds of proposals until the target, the budget or the rounds are reached; then the finalists."""
    began, settings = time.monotonic(), SearchSettings.of(job.hyperparameters)
    harness = prepared(job, settings, settings.max_memory_mb)
    deadline = began + settings.budget_s if settings.budget_s else None
    reached = False
    for round in range(settings.rounds):
        if reached or (deadline is not None and time.monotonic() > deadline):
            break
        proposed = _novel(_proposed(harness, settings, round), settings, harness.history)
        if not proposed.specs:
            break  # nothing new fits the budget
        _plan_steps(harness, settings, len(proposed.specs), settings.rounds - round, scouts=not round)
        reached = _try(harness, settings, proposed, round, deadline)
    searched = {"reached": reached, "search_s": round_s(time.monotonic() - began)}
    finalists = chosen(harness, settings.finalists)
    conclude(job, harness, finalists, strategy="cnn-search", settings=settings, report=searched)


def trials(job: Job) -> None:
    """One round of somebody else's proposals."""
    settings = TrialsSettings.of(job.hyperparameters)
    harness = prepared(job, settings, settings.max_memory_mb)
    harness.history = earlier(job.channel("trials"))
    proposed = _novel(_given(job, harness, settings), settings, harness.history)
    _plan_steps(harness, settings, len(proposed.specs), 1, scouts=not settings.round)
    reached = _try(harness, settings, proposed, settings.round, None) if proposed.specs else False
    mine = [tried for tried in harness.history if tried.round == settings.round]
    figures = {
        "best_accuracy": harness.best if harness.best is not None else -1.0,
        "reached": float(reached),
        "candidates": float(len(mine)),
        "failed_candidates": float(sum(tried.state == "failed" for tried in mine)),
        "refused": float(len(proposed.refused)),
    }
    told = {
        "format": 1,
        "round": settings.round,
        "task": harness.data.task.model_dump(),
        "tried": [tried.model_dump() for tried in harness.history],
        "refused": proposed.refused,
        "best": harness.best,
        "reached": reached,
        "spent": harness.spent.model_dump(),
        "confinement": harness.pool.confinement,
    }
    (job.model / RESULTS).write_text(json.dumps(told, separators=(",", ":")))  # all rounds so far: it grows
    manifest.write(
        job.model,
        format="trials",
        strategy="cnn-trials",
        metrics=figures,
        hyperparameters=settings.model_dump(exclude={"specs"}),
        source=Path(__file__).parent,
    )
    progress.metrics(figures)


def finish(job: Job) -> None:
    """The end of a search whose rounds were jobs."""
    settings = FinishSettings.of(job.hyperparameters)
    harness = prepared(job, settings, settings.max_memory_mb)
    harness.history, harness.before = earlier(job.channel("trials")), spent(job.channel("trials"))
    if not harness.history:
        raise InvalidInput(f"The channel `trials` holds no {RESULTS} with a candidate in it.")
    conclude(job, harness, chosen(harness, settings.finalists), strategy="cnn-finish", settings=settings)


def _proposed(harness: Harness, settings: SearchSettings, round: int) -> Proposed:
    """More than are trained; what an untrained network tells chooses among them."""
    space = Search(harness.data.task, settings.budget())
    draw = random.Random(f"{settings.seed}/{round}")
    made = evolve(space, harness.history, round_s(settings.population * settings.oversample, up=True), draw)
    return Proposed(harness.promising(made.specs, settings.population), made.source, 0, [], made.parents)


def _novel(proposed: Proposed, settings: Bounded, tried: Iterable[Tried]) -> Proposed:
    """With no more epochs than the job allows; what that makes the same as one that was tried is left out."""
    known = {one.id for one in tried}
    specs, refused, parents = list[architecture.Spec](), list(proposed.refused), dict[str, str]()
    sources = dict[str, Source]()
    for spec in proposed.specs:
        epochs = min(spec.training.epochs, settings.max_epochs)
        cut = spec.model_copy(update={"training": spec.training.model_copy(update={"epochs": epochs})})
        id = architecture.digest(cut)
        if id in known:
            refused.append(f"A proposal of {spec.training.epochs} epochs: cut to {epochs} it was tried already.")
            continue
        known.add(id)
        specs.append(cut)
        if parent := proposed.parents.get(architecture.digest(spec)):
            parents[id] = parent
        if source := proposed.sources.get(architecture.digest(spec)):
            sources[id] = source
    return replace(proposed, specs=specs, refused=refused, parents=parents, sources=sources)


def _try(harness: Harness, settings: Bounded, proposed: Proposed, round: int, deadline: float | None) -> bool:
    candidates = [
        Candidate(number, spec, proposed.sources.get(id, proposed.source), round, proposed.parents.get(id))
        for number, spec in enumerate(proposed.specs, harness.number + 1)
        for id in [architecture.digest(spec)]
    ]
    target = settings.target_accuracy
    if target < 1 and round == 0:
        candidates = harness.scout(harness.by_odds(candidates), target, settings.retries, deadline)
        reached = harness.best is not None and harness.best >= target
        if reached or not candidates or (deadline is not None and time.monotonic() > deadline):
            return reached
    return harness.halve(candidates, settings.shares, settings.keep, target, settings.retries, deadline)


def _plan_steps(harness: Harness, settings: Bounded, candidates: int, rounds: int, scouts: bool) -> None:
    """How many trainings there will be, as far as that is known. `scouts`: with a target, all are sent first."""
    of_round, alive = 0, candidates
    for _ in settings.shares:
        of_round += alive
        alive = max(1, round_s(settings.keep * alive, up=True))
    more = settings.finalists * settings.seeds + 2 if isinstance(settings, SearchSettings) else 0
    if scouts and settings.target_accuracy < 1:
        more += candidates
    harness.reporter.steps = harness.done + of_round * rounds + more


def _given(job: Job, harness: Harness, settings: TrialsSettings) -> Proposed:
    """Each proposal admitted or refused with its reason; one that was tried already is refused too."""
    raws = _listed(settings.specs)
    source: Source = settings.source
    parents: dict[str, str] = {}
    sources: dict[str, Source] = {}
    path = job.channel("proposals") / PROPOSALS
    if path.is_file():
        try:
            told = json.loads(path.read_bytes())
            raws += told["specs"]
            source = told.get("source", source)
            parents = {str(k): str(v) for k, v in told.get("parents", {}).items()}
            sources = {str(k): v for k, v in told.get("sources", {}).items() if v in get_args(Source)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidInput(f"{PROPOSALS} is not {{'specs': [...]}}: {type(error).__name__}.") from error
    if not raws:
        raise InvalidInput("There is no proposal to try: give `specs` or the channel `proposals`.")
    known = {tried.id for tried in harness.history}
    specs, refused = [], []
    for number, raw in enumerate(raws, 1):
        try:
            spec = architecture.admit(raw, harness.data.task, settings.budget())
        except InvalidInput as error:
            refused.append(f"Proposal {number}: {error}")
            continue
        if architecture.digest(spec) in known:
            refused.append(f"Proposal {number}: it was tried already.")
            continue
        known.add(architecture.digest(spec))
        specs.append(spec)
    return Proposed(specs, source, 0, refused, parents, sources)


def _listed(specs: str | list[dict[str, Any]]) -> list[Any]:
    """The hyperparameter, as text or as it was decoded."""
    if isinstance(specs, str):
        try:
            specs = json.loads(specs or "[]")
        except (ValueError, RecursionError):
            raise InvalidInput("specs: It is not JSON.") from None
    if not isinstance(specs, list):
        raise InvalidInput("specs: A list of proposals is what is taken.")
    return list(specs)


def earlier(folder: Path) -> list[Tried]:
    """The history of the rounds whose results lie below: each candidate once, as its latest round has it."""
    found: dict[str, tuple[int, Tried]] = {}
    for told in _results(folder):
        for tried in told.tried:
            if tried.id not in found or found[tried.id][0] <= told.round:
                found[tried.id] = (told.round, tried)
    return sorted((tried for _, tried in found.values()), key=lambda tried: tried.number)


def spent(folder: Path) -> Spent:
    """By all the rounds whose results lie below."""
    return sum((told.spent for told in _results(folder)), Spent())


class Results(BaseModel):
    """What is read of an earlier round's results.json."""

    model_config = ConfigDict(extra="ignore")

    round: int
    tried: list[Tried]
    spent: Spent = Spent()


def _results(folder: Path) -> Iterator[Results]:
    for path in sorted(folder.rglob(RESULTS)) if folder.is_dir() else []:
        try:
            yield Results.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InvalidInput(
                f"{path.name} of an earlier round cannot be understood: {error.error_count()} faults."
            ) from error


def round_s(value: float, up: bool = False) -> int:
    return -int(-value // 1) if up else int(value + 0.5)
