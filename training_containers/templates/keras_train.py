"""Template: train with Keras (TensorFlow) in the contract of all containers. Copy it, change MODEL, keep the rest.

The same channels and the same result as pytorch_train.py: model.safetensors holds the weights by their Keras path,
architecture.json what keras.models.model_from_json takes. Keras computes on TensorFlow where that is installed and on
PyTorch where it is not; KERAS_BACKEND says otherwise.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow" if find_spec("tensorflow") else "torch")

import keras
import numpy as np
from millrace.errors import TrainingFailed
from safetensors.numpy import load_file, save_file

from training_containers.common import manifest, progress
from training_containers.common.job import Job
from training_containers.common.progress import Reporter

from . import table as tables
from .settings import Settings
from .table import Table

STRATEGY = "keras-template"


# --- model ------------------------------------------------------------------------------------------------------------
def built(table: Table, wanted: Settings) -> Any:
    """Scaling is a layer, so that the model takes rows as they are."""
    mean, spread = tables.scaling(table)
    model = keras.Sequential(
        [
            keras.Input((len(table.columns),)),
            keras.layers.Normalization(mean=mean.tolist(), variance=(spread**2).tolist(), name="scaling"),
            keras.layers.Dense(wanted.hidden, activation="relu", name="hidden"),
            keras.layers.Dense(len(table.classes), name="logits"),
        ],
        name="table",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(wanted.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


# --- job --------------------------------------------------------------------------------------------------------------
def train(job: Job) -> None:
    """Read, train, keep the best epoch by the held-out rows, write the result."""
    wanted = Settings.of(job.hyperparameters)
    keras.utils.set_random_seed(wanted.seed)
    training = tables.read(job.channel("train"))
    if job.has("validation"):
        held_out = tables.read(job.channel("validation"), training.classes)
    else:
        training, held_out = tables.divided(training, wanted.validation_share, wanted.seed)
    model = built(training, wanted)
    best = job.checkpoints / "best.weights.h5"
    spoken = _Spoken(Reporter(wanted.epochs))
    model.fit(
        training.features,
        training.labels,
        validation_data=(held_out.features, held_out.labels),
        epochs=wanted.epochs,
        batch_size=wanted.batch_size,
        verbose=0,
        callbacks=[
            spoken,
            keras.callbacks.BackupAndRestore(str(job.checkpoints / "last")),  # a killed job goes on from here
            keras.callbacks.ModelCheckpoint(str(best), monitor="val_loss", save_best_only=True, save_weights_only=True),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    if spoken.broken or not best.is_file():
        raise TrainingFailed("The loss is not a number; try a smaller learning_rate.")
    model.load_weights(best)
    loss, accuracy = model.evaluate(held_out.features, held_out.labels, verbose=0)
    save_file(_weights(model), job.model / "model.safetensors")
    told = {"keras": json.loads(model.to_json()), "columns": training.columns, "classes": training.classes}
    (job.model / "architecture.json").write_text(json.dumps(told, indent=1))
    figures = {
        "accuracy": float(accuracy),
        "loss": float(loss),
        "train_rows": float(len(training.labels)),
        "validation_rows": float(len(held_out.labels)),
    }
    manifest.write(
        job.model,
        format="weights",
        strategy=STRATEGY,
        metrics=figures,
        hyperparameters=wanted.model_dump() | {"backend": keras.backend.backend()},
        source=Path(__file__).parent,
    )
    progress.metrics(figures)


class _Spoken(keras.callbacks.Callback):  # type: ignore[misc]
    """Keras' epochs as progress lines."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter, self.best, self.broken = reporter, 0.0, False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss, accuracy = float(logs["val_loss"]), float(logs["val_accuracy"])
        self.broken = self.broken or not np.isfinite(loss)
        self.best = max(self.best, accuracy)
        self.reporter.step(epoch + 1, epoch=epoch + 1, loss=loss, accuracy=accuracy, best=self.best)


def _weights(model: Any) -> dict[str, Any]:
    return {_name(weight): np.ascontiguousarray(keras.ops.convert_to_numpy(weight.value)) for weight in model.weights}


def _name(weight: Any) -> str:
    """Layer and weight: Keras puts the model's own name before it, or not, by backend and history."""
    return "/".join(weight.path.split("/")[-2:])


# --- use --------------------------------------------------------------------------------------------------------------
def loaded(model: Path) -> tuple[Any, dict[str, Any]]:
    """(model, architecture) of a result: what a program that uses it does."""
    architecture = json.loads((model / "architecture.json").read_text())
    network = keras.models.model_from_json(json.dumps(architecture["keras"]))
    tensors = load_file(model / "model.safetensors")
    for weight in network.weights:
        weight.assign(tensors[_name(weight)])
    return network, architecture
