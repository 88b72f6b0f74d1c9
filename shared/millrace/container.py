"""What a container says: lines on its stdout while it works, and the manifest of what it made. Part of `contract`.

Apart from it, since whoever reads none of it does without pydantic.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _measured(figures: Any) -> Any:
    """JSON has no NaN: a figure that came to nothing travels as null, and was still measured."""
    if not isinstance(figures, dict):
        return figures
    return {name: float("nan") if value is None else value for name, value in figures.items()}


Figures = Annotated[dict[str, float], BeforeValidator(_measured)]


class Progress(_Frozen):
    """One line on stdout while a container works."""

    type: Literal["progress"] = "progress"
    status: str = "training"
    step: int = Field(ge=0)
    steps: int = Field(ge=0)
    epoch: float | None = None
    trial: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    best: float | None = None
    eta_s: float | None = None
    metrics: Figures = Field(default_factory=dict)


class Metrics(_Frozen):
    """The last line of a container that succeeded."""

    type: Literal["metrics"] = "metrics"
    metrics: Figures


class ManifestFile(_Frozen):
    path: str
    """Relative to the model folder, '/' separated, never '..'."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Manifest(_Frozen):
    """What `model/manifest.json` says; the proof that a result is whole."""

    format: str
    """One of MODEL_FORMATS."""
    strategy: str
    files: list[ManifestFile]
    metrics: Figures
    hyperparameters: dict[str, Any]
    """The final values, after defaults, advice and the out-of-memory ladder."""
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash over the source of the container that ran."""
    base: str | None = None
    """What was fine-tuned or converted: a model id, or the hash of a parent's manifest."""
