"""A search for a network, round by round: the use-cases behind `propose` and `judge`. AWS: through what it is handed.

Everything of a search lies under tenants/<tenant>/jobs/<job>/search/: `round-<n>/proposals.json` is what the round's
container is given, `round-<n>/results.json` what it showed, state.json how far the search has come. They belong to the
job and not to an attempt of it: the next attempt goes on with the round that was not judged, and a language model is
not asked twice for the same one. Nothing that a model says is run: it is read by a closed schema (see proposals).
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from . import architecture
from .architecture import Budget, Task
from .artifacts import Store
from .clock import now, stamp
from .errors import Corrupt, InvalidInput, MillraceError, NotFound, Unavailable
from .history import Search, Tried
from .jobs import Job
from .pipeline import search_key
from .proposals import Ask, Messages, guided
from .tenants import Tenant

RESULTS, PROPOSALS, STATE = "results.json", "proposals.json", "state.json"
NOBODY = "evolution"
"""As `proposer`: no language model is asked."""
SAMPLED_BYTES = 256 * 1024
"""Of the index, from which the images' size is told before the first round has seen them all."""
LARGEST, SMALLEST = 64, 8
"""Sides that the container advises between, pixels; see cnn_search/data.py."""
GREY = ("L", "1", "I", "I;16", "F")


class Asked(BaseModel):
    """Who proposed a round, and what of it was not taken."""

    model_config = ConfigDict(frozen=True)

    round: int
    source: str
    """llm, or evolution."""
    refused: list[str]
    """One sentence for each, questions in vain among them."""
    ids: list[str]
    """Of the candidates; see architecture.digest."""


class State(BaseModel):
    """How far a search has come."""

    model_config = ConfigDict(frozen=True)

    began: str
    rounds: int = 0
    """Judged."""
    failures: int = 0
    """Questions in vain to the language model; see proposals.FAILURES."""
    best: float | None = None
    reached: bool = False
    task: Task | None = None
    """As the container saw the images."""
    said: list[str] = []
    """Why the model's proposals were not taken, newest last."""
    asked: list[Asked] = []
    """By round, one that is not judged yet among them."""


class Results(BaseModel):
    """results.json of a round's container."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1]
    round: int
    task: Task
    tried: list[Tried]
    refused: list[str] = []
    best: float | None
    reached: bool


@dataclass(frozen=True)
class Round:
    number: int
    proposals: str
    """S3 key of the folder that is the container's channel `proposals`."""
    source: str
    """Who proposed: llm, or evolution."""
    refused: int
    empty: bool
    """Nothing new fits the budget: what was tried is all that there is."""


def nobody(tenant: Tenant, proposer: str) -> Ask | None:
    """There is no language model to ask."""
    return None


@dataclass(frozen=True)
class Searching:
    store: Store
    asker: Callable[[Tenant, str], Ask | None] = nobody
    """Who is asked for proposals, by the job's `proposer`; None: nobody can be."""

    def propose(self, tenant: Tenant, job: Job, channel: str) -> Round:
        """The next round's proposals, written once. `channel`: key of the dataset's folder that training reads.

        InvalidInput where nothing at all fits the budget; later a round of nothing is the last one.
        """
        state = self.state(tenant, job)
        folder = self.folder(tenant, job) + f"round-{state.rounds}/"
        if not self.store.exists(folder + PROPOSALS):
            self._ask(tenant, job, state, folder, channel)
        told = self.store.get_json(folder + PROPOSALS)
        return Round(state.rounds, folder, told["source"], len(told["refused"]), not told["specs"])

    def over(self, tenant: Tenant, job: Job) -> bool:
        """Whether its rounds are done: an attempt that begins again then has only the finalists left."""
        state = self.state(tenant, job)
        return state.rounds > 0 and not self._again(job, state)

    def judge(self, tenant: Tenant, job: Job, number: int, results_key: str) -> bool:
        """Keep what a round showed; whether another one is worth it."""
        state = self.state(tenant, job)
        if number < state.rounds:  # judged, and the answer was lost
            return self._again(job, state)
        results = self._results(results_key)
        self.store.put(self.folder(tenant, job) + f"round-{number}/{RESULTS}", self.store.get(results_key))
        said = [*state.said, *results.refused][-20:]
        values = {"rounds": number + 1, "best": results.best, "reached": results.reached, "task": results.task}
        state = self._save(tenant, job, state.model_copy(update={**values, "said": said}))
        return self._again(job, state)

    def folder(self, tenant: Tenant, job: Job) -> str:
        """The channel `trials` of the containers: every earlier round lies below."""
        return search_key(tenant, job)

    def state(self, tenant: Tenant, job: Job) -> State:
        try:
            return State.model_validate_json(self.store.get(self.folder(tenant, job) + STATE))
        except NotFound:
            return State(began=stamp())

    def history(self, tenant: Tenant, job: Job) -> list[Tried]:
        """Every candidate so far: each round's results hold the earlier rounds' too."""
        rounds = self.state(tenant, job).rounds
        return self._results(self.folder(tenant, job) + f"round-{rounds - 1}/{RESULTS}").tried if rounds else []

    def _ask(self, tenant: Tenant, job: Job, state: State, folder: str, channel: str) -> None:
        given = job.hyperparameters
        search = Search(state.task or self._sampled(channel, given), _budget(given), str(given.get("description", "")))
        draw = random.Random(f"{given['seed']}/{job.id}/{state.rounds}")  # noqa: S311 - a search, not a secret
        ask = self._asker(tenant, str(given.get("proposer", NOBODY)), state)
        made = guided(ask, search, self.history(tenant, job), int(given["population"]), state.failures, draw)
        if not made.specs and not state.rounds:
            names = ("max_parameters", "max_flops", "max_memory_mb")
            bounds = ", ".join(f"{name} {int(given[name]):,}" for name in names)
            raise InvalidInput(f"No network that was proposed fits {bounds}: raise them, or make the images smaller.")
        ids = [architecture.digest(spec) for spec in made.specs]
        told = {
            "specs": [spec.model_dump() for spec in made.specs],
            "source": made.source,
            "parents": made.parents,
            "sources": made.sources,
            "refused": made.refused,
            "ids": ids,
        }
        said = [*state.said, *made.refused][-20:]
        this = Asked(round=state.rounds, source=made.source, refused=made.refused, ids=ids)
        asked = [*(one for one in state.asked if one.round < state.rounds), this]
        values = {"failures": made.failures, "said": said, "asked": asked}
        self._save(tenant, job, state.model_copy(update=values))
        self.store.put_json(folder + PROPOSALS, told)

    def _asker(self, tenant: Tenant, proposer: str, state: State) -> Ask | None:
        """Errors of the way to the model are a question in vain, not the end of a search."""
        ask = None if proposer == NOBODY else self.asker(tenant, proposer)
        if ask is None:
            return None

        def asked(messages: Messages) -> str:
            try:
                return ask(messages)
            except MillraceError as error:
                raise Unavailable(str(error)) from error

        return asked

    def _save(self, tenant: Tenant, job: Job, state: State) -> State:
        self.store.put(self.folder(tenant, job) + STATE, state.model_dump_json().encode(), "application/json")
        return state

    def _results(self, key: str) -> Results:
        try:
            return Results.model_validate_json(self.store.get(key))
        except ValidationError as error:
            raise Corrupt(f"The {RESULTS} of a round is not one: {error.error_count()} faults.") from error

    def _again(self, job: Job, state: State) -> bool:
        given = job.hyperparameters
        spent_s = (now() - datetime.fromisoformat(state.began)).total_seconds()
        in_time = not given["budget_s"] or spent_s < float(given["budget_s"])
        return not state.reached and state.rounds < int(given["rounds"]) and in_time

    def _sampled(self, channel: str, given: Mapping[str, Any]) -> Task:
        """The task as the dataset and the first images tell it; the first round's container tells it exactly."""
        dataset = self.store.get_json(channel + "dataset.json")
        rows = _rows(self.store.head(channel + "index.jsonl", SAMPLED_BYTES))
        if len(dataset["classes"]) < 2 or not rows:
            raise InvalidInput("Telling classes apart needs images of at least two of them.")
        side = _side(rows, given)
        classes, samples = len(dataset["classes"]), int(dataset["samples"])
        return Task(height=side, width=side, channels=_channels(rows), classes=classes, samples=samples)


def _rows(head: bytes) -> list[dict[str, Any]]:
    """Whole lines only."""
    return [orjson.loads(line) for line in head[: head.rfind(b"\n") + 1].splitlines()]


def _side(rows: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> int:
    middle = int(statistics.median(max(row["width"], row["height"]) for row in rows))
    return int(given.get("size") or 0) or min(LARGEST, max(SMALLEST, middle))


def _channels(rows: Sequence[Mapping[str, Any]]) -> Literal[1, 3]:
    return 1 if all(row["mode"] in GREY for row in rows) else 3


def _budget(given: Mapping[str, Any]) -> Budget:
    return Budget(int(given["max_parameters"]), int(given["max_flops"]), int(given["max_memory_mb"]) << 20)
