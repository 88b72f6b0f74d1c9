"""What the jobs may be told; strategy.json shows these models' schemas. 0 means: advised from data and base."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training_containers.common.settings import Told

Device = Literal["auto", "cpu", "cuda", "mps"]


class _Settings(Told):
    instruction: str = Field(default="", max_length=4000, description="Stands before every source, in serving too")
    batch_size: int = Field(default=16, ge=1, le=512, description="Rows of one pass")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Of every draw")
    device: Device = Field(default="auto", description="Where to compute; auto: a GPU where there is one")


class LoraSettings(_Settings):
    """What every way to train an adapter has in common."""

    rank: int = Field(default=0, ge=0, le=256, description="Of the adapter's matrices; 0: advised from the rows")
    alpha: int = Field(default=0, ge=0, le=512, description="The adapter counts alpha / rank times; 0: twice the rank")
    dropout: float = Field(default=0.0, ge=0, le=0.5, description="On the adapter's input")
    learning_rate: float = Field(default=0.0, ge=0, le=0.1, description="0: advised from the base's width and the rows")
    epochs: int = Field(default=0, ge=0, le=100, description="Most passes over the data; 0: advised from its size")
    patience: int = Field(default=3, ge=1, le=100, description="Epochs without a better validation loss before the end")
    warmup: float = Field(default=0.05, ge=0, le=0.5, description="Share of the steps with a rising rate")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="Of AdamW")
    accumulation: int = Field(default=1, ge=1, le=4096, description="Passes of one step")
    gradient_checkpointing: bool = Field(default=False, description="Compute activations twice instead of keeping them")
    quantization: Literal["none", "4bit"] = Field(
        default="none", description="Of the base while it trains (QLoRA): GPU"
    )
    max_length: int = Field(default=512, ge=16, le=131072, description="Longest row, tokens")
    overlong: Literal["auto", "truncate", "leave-out"] = Field(
        default="auto",
        description="Longer rows: cut the source at a sentence end, or leave the row out; auto: cut where the answer "
        "is at most half as long as the source, since half of a text rewritten whole teaches to invent",
    )
    minimum_rows: int = Field(default=40, ge=1, le=100000, description="Fewer training rows are refused")
    validation_share: float = Field(
        default=0.1, ge=0, le=0.5, description="Of the rows, held out by seed where there is no channel validation"
    )
    probe: bool = Field(default=True, description="First see that a few rows can be learned by heart")


class SftSettings(LoraSettings):
    packing: bool = Field(default=True, description="Rows end to end under a block-diagonal mask instead of padded")


class DpoSettings(LoraSettings):
    batch_size: int = Field(default=8, ge=1, le=512, description="Preferences of one pass; each is two rows")
    beta: float = Field(default=0.1, gt=0, le=10, description="How dear it is to leave the base")
    sft_weight: float = Field(default=1.0, ge=0, le=10, description="Of the likelihood of the chosen answer beside DPO")


class KtoSettings(LoraSettings):
    batch_size: int = Field(default=16, ge=2, le=512, description="Rows of one pass; KTO compares among them")
    beta: float = Field(default=0.1, gt=0, le=10, description="How dear it is to leave the base")


class EvaluateSettings(_Settings):
    batch_size: int = Field(default=40, ge=1, le=512, description="Rows generated together")
    max_new_tokens: int = Field(default=512, ge=1, le=4096, description="Longest answer, tokens")
    max_examples: int = Field(default=500, ge=1, le=5000, description="Test rows that are read")
