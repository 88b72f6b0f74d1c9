"""What the jobs may be told; strategy.json shows these models' schemas."""

from __future__ import annotations

import os
from typing import Any, Literal, Self

from millrace.architecture import Budget
from millrace.errors import InvalidInput
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Common(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Of every draw and training")
    split_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Of the splits, where the archive names none")
    size: int = Field(default=0, ge=0, le=512, description="Side of the images, pixels; 0: advised from them")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Where to train")
    workers: int = Field(default=0, ge=0, le=64, description="Trainings at once; 0: one a core, one on a GPU")
    trial_timeout_s: int = Field(default=900, ge=1, le=86_400, description="A longer training is killed")
    retries: int = Field(default=1, ge=0, le=5, description="Of a failed candidate, with other hyperparameters")

    @classmethod
    def of(cls, hyperparameters: dict[str, Any]) -> Self:
        """The user's values over the defaults. InvalidInput names the first that does not fit."""
        try:
            return cls.model_validate(hyperparameters)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error

    def at_once(self, device: str) -> int:
        return self.workers or (len(os.sched_getaffinity(0)) if device == "cpu" else 1)


class Bounded(Common):
    """The budget of a proposal."""

    max_parameters: int = Field(default=2_000_000, ge=1_000, le=100_000_000, description="Of a network")
    max_flops: int = Field(default=400_000_000, ge=10_000, le=10**12, description="Of one image's way through")
    max_memory_mb: int = Field(default=2_048, ge=64, le=131_072, description="Of a training, and its process's limit")
    max_epochs: int = Field(default=60, ge=1, le=300, description="A proposal's own are cut to this")
    target_accuracy: float = Field(
        default=1.0, ge=0, le=1, description="Validation accuracy at which the search is content"
    )
    rungs: list[float] = Field(
        default=[0.34, 1.0], min_length=1, max_length=5, description="Shares of the epochs, rising; last is 1"
    )
    keep: float = Field(default=0.34, gt=0, le=1, description="Share of a rung's candidates that goes on")

    def budget(self) -> Budget:
        return Budget(self.max_parameters, self.max_flops, self.max_memory_mb << 20)

    @property
    def shares(self) -> list[float]:
        """Rising shares of the epochs; the last is all of them."""
        return [*sorted({s for s in self.rungs if 0 < s < 1}), 1.0]


class Finishing(Common):
    finalists: int = Field(default=2, ge=1, le=10, description="Candidates that are trained with several seeds")
    seeds: int = Field(default=3, ge=1, le=20, description="Trainings of each finalist")
    baselines: bool = Field(
        default=True, description="Train a ResNet, and the best of the first round, which no history guided, beside it"
    )


class SearchSettings(Bounded, Finishing):
    rounds: int = Field(default=3, ge=1, le=100, description="Times that candidates are proposed")
    population: int = Field(default=8, ge=1, le=64, description="Candidates of a round")
    oversample: float = Field(default=1.5, ge=1, le=8, description="Proposals drawn per candidate; proxies choose")
    proposer: str = Field(
        default="auto",
        max_length=128,
        description="Catalogue id of the language model that proposes; auto: Groq's Llama or its successor, else the "
        "cheapest that can be called; evolution: none",
    )
    description: str = Field(default="", max_length=500, description="The images in your words, for who proposes")
    budget_s: int = Field(default=3_600, ge=0, le=2_592_000, description="No round begins after; 0: no limit")


class TrialsSettings(Bounded):
    specs: str | list[dict[str, Any]] = Field(
        default="", description="Candidates as a JSON list, where they are few; else the channel `proposals`"
    )
    round: int = Field(default=0, ge=0, le=10_000, description="Told in every line of the history")
    source: Literal["llm", "evolution", "user"] = Field(default="llm", description="Who proposed them")


class FinishSettings(Bounded, Finishing):
    pass


class _One(Common):
    """Over what the architecture says itself, where they are not 0 or empty."""

    epochs: int = Field(default=0, ge=0, le=300, description="Passes over the data; 0: as the architecture says")
    learning_rate: float = Field(default=0.0, ge=0, le=1, description="0: as the architecture says")
    batch_size: int = Field(default=0, ge=0, le=1024, description="0: as the architecture says")
    optimizer: Literal["", "adam", "adamw", "sgd", "rmsprop", "lion"] = Field(default="", description="Empty: as said")
    retries: int = Field(default=3, ge=0, le=5, description="Of a training that fails, with other hyperparameters")
    seeds: int = Field(default=1, ge=1, le=20, description="Trainings; the best of validation is kept")
    baselines: bool = Field(default=True, description="Train a ResNet beside it")
    max_memory_mb: int = Field(default=4_096, ge=64, le=131_072, description="Of a training, and its process's limit")

    def over(self) -> dict[str, Any]:
        names = ("epochs", "learning_rate", "batch_size", "optimizer")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


class NativeSettings(_One):
    architecture: str | dict[str, Any] = Field(
        default="resnet", description="resnet, or an architecture as JSON: blocks, head, training"
    )


class TransferSettings(_One):
    backbone: str = Field(
        default="backbone",
        max_length=64,
        description="What becomes the channel `base`: an image model of yours, such as classifier@2, or a folder below "
        "base/ in the data bucket that holds a backbone",
    )
    frozen_epochs: int = Field(default=4, ge=0, le=100, description="With the new head alone, before all is trained")
    backbone_rate: float = Field(default=0.1, ge=0, le=1, description="The backbone's share of the rate, once unfrozen")
