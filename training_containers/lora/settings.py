"""What the two jobs may be told; strategy.json shows these models' schemas."""

from __future__ import annotations

from typing import Any, Self

from millrace.errors import InvalidInput
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    instruction: str = Field(default="", max_length=4000, description="Stands before every source, in serving too")
    batch_size: int = Field(default=16, ge=1, le=512, description="Rows of one step")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Of every draw")

    @classmethod
    def of(cls, hyperparameters: dict[str, Any]) -> Self:
        """The user's values over the defaults. InvalidInput names the first that does not fit."""
        try:
            return cls.model_validate(hyperparameters)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


class SftSettings(_Settings):
    rank: int = Field(default=16, ge=1, le=256, description="Of the adapter's matrices")
    alpha: int = Field(default=32, ge=1, le=512, description="The adapter counts alpha / rank times")
    dropout: float = Field(default=0.0, ge=0, le=0.5, description="On the adapter's input")
    learning_rate: float = Field(default=0.0, ge=0, le=0.1, description="0: advised from the base's width")
    epochs: int = Field(default=0, ge=0, le=100, description="Most passes over the data; 0: advised from its size")
    patience: int = Field(default=3, ge=1, le=100, description="Epochs without a better validation loss before the end")
    warmup: float = Field(default=0.05, ge=0, le=0.5, description="Share of the steps with a rising rate")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="Of AdamW")
    max_length: int = Field(default=512, ge=16, le=131072, description="Longest row, tokens; longer ones are left out")
    minimum_rows: int = Field(default=40, ge=1, le=100000, description="Fewer training rows are refused")


class EvaluateSettings(_Settings):
    batch_size: int = Field(default=40, ge=1, le=512, description="Rows generated together")
    max_new_tokens: int = Field(default=512, ge=1, le=4096, description="Longest answer, tokens")
    max_examples: int = Field(default=500, ge=1, le=5000, description="Test rows that are read")
