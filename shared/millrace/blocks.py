"""The closed schema of a CNN and of how it is trained: what may be said at all. Pure.

Every field is a number within bounds or a word of a list; a key that is not named here is refused. The one free text,
`note`, is kept and shown and reaches no program. Sizes are pixels and channels, rates lie in [0, 1].
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "mish", "hardswish"]
Norm = Literal["batch", "group", "layer", "none"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop", "lion"]
Schedule = Literal["one_cycle", "cosine", "constant"]

MAX_BLOCKS: Final = 48
NOTE_CHARACTERS: Final = 240

Filters = Annotated[int, Field(ge=4, le=1024)]
Rate = Annotated[float, Field(ge=0, le=0.8)]


class Closed(BaseModel):
    """Strict: no text is taken for a number, no NaN, nothing beside the named fields.

    Validators are built when they are first asked for: a Spec's has those of its parts inside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class _Convolving(Closed):
    filters: Filters
    kernel: Literal[1, 3, 5, 7] = 3
    stride: Literal[1, 2] = 1
    norm: Norm = "batch"
    activation: Activation = "relu"


class Conv(_Convolving):
    """Convolution, norm, activation; same padding."""

    kind: Literal["conv"]


class Separable(_Convolving):
    """Depthwise then pointwise convolution, norm and activation after each."""

    kind: Literal["separable"]


class Residual(_Convolving):
    """Two convolutions round a shortcut, which projects where the shape changes; squeeze-excite inside if asked."""

    kind: Literal["residual"]
    squeeze: Literal[0, 2, 4, 8, 16] = 0


class Squeeze(Closed):
    """Squeeze-excite: channels weighed by their own means."""

    kind: Literal["squeeze_excite"]
    ratio: Literal[2, 4, 8, 16] = 4


class Pool(Closed):
    kind: Literal["pool"]
    mode: Literal["max", "avg"] = "max"
    size: Literal[2, 3] = 2


class Normalise(Closed):
    kind: Literal["norm"]
    norm: Literal["batch", "group", "layer"] = "batch"


class Activate(Closed):
    kind: Literal["activation"]
    activation: Activation = "relu"


class Drop(Closed):
    """Whole channels, as suits convolutions."""

    kind: Literal["dropout"]
    rate: Rate = 0.1


Block = Annotated[
    Conv | Separable | Residual | Squeeze | Pool | Normalise | Activate | Drop, Field(discriminator="kind")
]


class Head(Closed):
    """From feature maps to class scores."""

    pool: Literal["avg", "max", "flatten"] = "avg"
    dense: list[Annotated[int, Field(ge=4, le=2048)]] = Field(default=[], max_length=3)
    activation: Activation = "relu"
    dropout: Rate = 0.0


class Augmentation(Closed):
    """How far an image may be moved at random while training; 0 is not at all."""

    shift: float = Field(default=0.0, ge=0, le=0.3, description="Share of the side")
    rotate: float = Field(default=0.0, ge=0, le=45, description="Degrees")
    scale: float = Field(default=0.0, ge=0, le=0.4, description="Share")
    flip: bool = Field(default=False, description="Mirror left and right")
    noise: float = Field(default=0.0, ge=0, le=0.5, description="Standard deviations of the pixels")
    cutout: float = Field(default=0.0, ge=0, le=0.6, description="Side of a blanked square, share of the image's")
    mixup: float = Field(default=0.0, ge=0, le=1, description="Parameter of the beta distribution")


class Recipe(Closed):
    """How the network is trained."""

    optimizer: Optimizer = "adamw"
    learning_rate: float = Field(default=0.01, ge=1e-5, le=1.0, description="The highest of the schedule")
    weight_decay: float = Field(default=0.01, ge=0, le=0.5)
    momentum: float = Field(default=0.9, ge=0, le=0.99, description="Of SGD and RMSprop")
    batch_size: int = Field(default=128, ge=8, le=1024)
    epochs: int = Field(default=12, ge=1, le=300)
    schedule: Schedule = "one_cycle"
    warmup: float = Field(default=0.25, ge=0, le=0.5, description="Share of the steps with a rising rate")
    label_smoothing: float = Field(default=0.1, ge=0, le=0.3)
    augmentation: Augmentation = Augmentation()


class Spec(Closed):
    """One proposal: a network and how to train it."""

    blocks: list[Block] = Field(min_length=1, max_length=MAX_BLOCKS)
    head: Head = Head()
    training: Recipe = Recipe()
    note: str = Field(default="", max_length=NOTE_CHARACTERS, description="Why; shown, never read by a program")


class Task(Closed):
    """What is to be told apart: the images as the network gets them."""

    height: int = Field(ge=4, le=1024)
    width: int = Field(ge=4, le=1024)
    channels: Literal[1, 3]
    classes: int = Field(ge=2, le=10_000)
    samples: int = Field(ge=1, le=100_000_000, description="Images that are trained on")
