"""From a backbone that learned elsewhere (`cnn-transfer`). Channels: `train`, and `base` with the backbone.

`base` is a result of this container (network.json, model.safetensors), or one *.safetensors with a ResNet under
torchvision's or timm's names. First the new head alone learns while the backbone is frozen, then all of it, the
backbone at a share of the rate. Images are fed as the base was: its channels, mean and std, and its size where none is
asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace import architecture, contract
from millrace.blocks import Augmentation, Recipe
from millrace.errors import InvalidInput
from torch import Tensor

from training_containers.common import manifest
from training_containers.common.job import Job

from . import backbone, network, weights
from .finish import Finalist, conclude, recipe_over
from .network import Described
from .pool import Say
from .search import prepared
from .settings import TransferSettings
from .train import seeded
from .trials import Candidate, Harness, Run

RECIPE = Recipe(learning_rate=2e-3, epochs=10, augmentation=Augmentation(shift=0.1, rotate=8.0, scale=0.1))
_COUNTERS = "num_batches_tracked"
"""Some files leave them out, and nothing here reads them."""
SIZE = 96
"""Side for a ResNet where none is asked for: 32 times three."""


@dataclass(frozen=True)
class Base:
    described: Described | None
    resnet: backbone.Backbone | None
    tensors: dict[str, Tensor]
    """Of the backbone, under our names."""
    identity: str


def train(job: Job) -> None:
    settings = TransferSettings.of(job.hyperparameters)
    base = opened(job.channel("base"))
    size = settings.size or (base.described.task.height if base.described else SIZE)
    harness = prepared(job, settings.model_copy(update={"size": size}), settings.max_memory_mb)
    described = _fed(harness, base)
    recipe = recipe_over(RECIPE, settings.over())
    spec = (described.spec or architecture.resnet()).model_copy(update={"training": recipe})
    candidate = Candidate(1, spec, "user", name=f"transfer{base.identity[:8]}")
    described = described.model_copy(update={"spec": spec if described.spec else None})

    def make(run: Run, say: Say) -> bytes | None:
        return _learn(harness, described, base, settings, run, say)

    finalist = Finalist(candidate, described, make)
    conclude(job, harness, [finalist], strategy="cnn-transfer", settings=settings, base=base.identity)


def opened(folder: Path) -> Base:
    """What lies in the channel. InvalidInput where it is no backbone."""
    if (folder / network.NETWORK_FILE).is_file():
        described, model = network.load(folder)
        tensors = {k: v for k, v in weights.state(model).items() if k.startswith("features.")}
        known = folder / contract.MANIFEST
        return Base(
            described, None, tensors, manifest.sha256(known if known.is_file() else folder / network.WEIGHTS_FILE)
        )
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if len(files) != 1:
        raise InvalidInput(f"The channel `base` holds {len(files)} safetensors files; one backbone is what is taken.")
    theirs = weights.read(files[0])
    shapes = {key: (str(value.dtype), tuple(value.shape)) for key, value in theirs.items()}
    found = backbone.recognised(weights.Tensors(shapes))
    return Base(None, found, backbone.renamed(theirs, found), manifest.sha256(files[0]))


def _fed(harness: Harness, base: Base) -> Described:
    """Images as the base knows them, classes as the data has them."""
    data = harness.data
    if base.described is not None:
        if base.described.task.channels != data.task.channels:
            raise InvalidInput(
                f"The base sees images of {base.described.task.channels} channels; these have {data.task.channels}."
            )
        data.mean, data.std = base.described.mean, base.described.std
        return base.described.model_copy(update={"task": data.task, "classes": data.classes})
    if data.task.channels == 1:
        raise InvalidInput("This base sees colour images; the dataset's are grey throughout.")
    data.mean, data.std = backbone.IMAGENET_MEAN, backbone.IMAGENET_STD
    return Described(task=data.task, classes=data.classes, mean=data.mean, std=data.std, backbone=base.resnet)


def _learn(
    harness: Harness, described: Described, base: Base, settings: TransferSettings, run: Run, say: Say
) -> bytes | None:
    """In the child: the head alone, then everything."""
    seeded(run.seed, "cpu")
    model = described.build()
    wanted = {key for key in model.state_dict() if key.startswith("features.") and not key.endswith(_COUNTERS)}
    if missing := sorted(wanted ^ {key for key in base.tensors if not key.endswith(_COUNTERS)}):
        raise InvalidInput(f"The backbone lacks {missing[0][:80]}, or has one too many.")
    model.load_state_dict(base.tensors, strict=False)
    recipe: Any = run.candidate.spec.training
    if settings.frozen_epochs:
        for parameter in model.features.parameters():
            parameter.requires_grad_(False)
        frozen = Run(run.candidate, settings.frozen_epochs, run.seed)
        harness.fitted(model, recipe.model_copy(update={"epochs": settings.frozen_epochs}), frozen, say)
    for parameter in model.features.parameters():
        parameter.requires_grad_(settings.backbone_rate > 0)
    rates = [(list(model.head.parameters()), 1.0)]
    if settings.backbone_rate:
        rates.append((list(model.features.parameters()), settings.backbone_rate))
    return harness.fitted(model, recipe.model_copy(update={"epochs": run.epochs}), run, say, rates)
