"""What the templates may be told; strategy.json shows this model's schema."""

from __future__ import annotations

from pydantic import Field

from training_containers.common.settings import Told


class Settings(Told):
    epochs: int = Field(default=30, ge=1, le=1000, description="Passes over the rows")
    batch_size: int = Field(default=32, ge=1, le=4096, description="Rows of one step")
    learning_rate: float = Field(default=0.01, gt=0, le=1, description="Of Adam")
    hidden: int = Field(default=32, ge=1, le=4096, description="Width of the hidden layer")
    validation_share: float = Field(
        default=0.2, gt=0, le=0.5, description="Held out where there is no validation channel"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Of every draw")
