"""Template: train with PyTorch in the contract of all containers. Copy it, change MODEL and LOOP, keep the rest.

Channels: `train` and, where it is given, `validation`, each a data.csv of numbers with a column `label`. Result:
model.safetensors, architecture.json (what is needed to build the network again) and the manifest, written last.
A killed job goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from millrace.errors import TrainingFailed
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from training_containers.common import manifest, progress
from training_containers.common.job import Job
from training_containers.common.progress import Reporter

from . import table as tables
from .settings import Settings
from .table import Table

STRATEGY = "pytorch-template"


# --- model ------------------------------------------------------------------------------------------------------------
def described(table: Table, wanted: Settings) -> dict[str, Any]:
    """The architecture as JSON: all that `built` needs. Weights are not in it."""
    return {
        "layers": [
            {"type": "linear", "inputs": len(table.columns), "outputs": wanted.hidden},
            {"type": "relu"},
            {"type": "linear", "inputs": wanted.hidden, "outputs": len(table.classes)},
        ],
        "columns": list(table.columns),
        "classes": list(table.classes),
    }


def built(architecture: dict[str, Any]) -> nn.Sequential:
    """The network of an architecture, its weights as torch draws them."""
    made = [
        nn.Linear(layer["inputs"], layer["outputs"]) if layer["type"] == "linear" else nn.ReLU()
        for layer in architecture["layers"]
    ]
    return nn.Sequential(*made)


# --- job --------------------------------------------------------------------------------------------------------------
def train(job: Job) -> None:
    """Read, train, keep the best epoch by the held-out rows, write the result."""
    wanted = Settings.of(job.hyperparameters)
    torch.manual_seed(wanted.seed)
    training = tables.read(job.channel("train"))
    if job.has("validation"):
        held_out = tables.read(job.channel("validation"), training.classes)
    else:
        training, held_out = tables.divided(training, wanted.validation_share, wanted.seed)
    mean, spread = (torch.from_numpy(part) for part in tables.scaling(training))
    x, y = (torch.from_numpy(training.features) - mean) / spread, torch.from_numpy(training.labels)
    x_held, y_held = (torch.from_numpy(held_out.features) - mean) / spread, torch.from_numpy(held_out.labels)

    architecture = described(training, wanted)
    network = built(architecture)
    optimizer = torch.optim.Adam(network.parameters(), lr=wanted.learning_rate)
    best: dict[str, Any] = {"accuracy": -1.0, "loss": float("inf"), "epoch": 0}
    weights = network.state_dict()
    first, best, weights = _resumed(job.checkpoints, network, optimizer, best, weights)
    reporter = Reporter(wanted.epochs)
    for epoch in range(first, wanted.epochs):
        # --- loop ---
        network.train()
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(wanted.seed + epoch))
        for rows in torch.split(order, wanted.batch_size):
            loss = cross_entropy(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        network.eval()
        with torch.no_grad():
            logits = network(x_held)
        held_loss = cross_entropy(logits, y_held).item()
        accuracy = (logits.argmax(dim=1) == y_held).float().mean().item()
        if not held_loss < float("inf"):
            raise TrainingFailed("The held-out loss is not a number; try a smaller learning_rate.")
        # --- end of the loop ---
        if (accuracy, -held_loss) > (best["accuracy"], -best["loss"]):
            best = {"accuracy": accuracy, "loss": held_loss, "epoch": epoch + 1}
            weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        _save(job.checkpoints, epoch + 1, network, optimizer, best, weights)
        reporter.step(epoch + 1, epoch=epoch + 1, loss=held_loss, accuracy=accuracy, best=best["accuracy"])

    save_file({**weights, "scaling.mean": mean, "scaling.spread": spread}, job.model / "model.safetensors")
    (job.model / "architecture.json").write_text(json.dumps(architecture, indent=1))
    figures = {
        "accuracy": best["accuracy"],
        "loss": best["loss"],
        "best_epoch": float(best["epoch"]),
        "train_rows": float(len(y)),
        "validation_rows": float(len(y_held)),
    }
    manifest.write(
        job.model,
        format="weights",
        strategy=STRATEGY,
        metrics=figures,
        hyperparameters=wanted.model_dump(),
        source=Path(__file__).parent,
    )
    progress.metrics(figures)


# --- checkpoints ------------------------------------------------------------------------------------------------------
def _save(folder: Path, epoch: int, network: Any, optimizer: Any, best: Any, weights: Any) -> None:
    """Whole or not at all: written beside, then renamed."""
    part = folder / "last.part"
    state = {"epoch": epoch, "network": network.state_dict(), "optimizer": optimizer.state_dict(), "best": best}
    torch.save({**state, "weights": weights}, part)
    os.replace(part, folder / "last.pt")


def _resumed(folder: Path, network: Any, optimizer: Any, best: Any, weights: Any) -> tuple[int, Any, Any]:
    if not (folder / "last.pt").is_file():
        return 0, best, weights
    state = torch.load(folder / "last.pt", weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return state["epoch"], state["best"], state["weights"]


# --- use --------------------------------------------------------------------------------------------------------------
def loaded(model: Path) -> tuple[nn.Sequential, dict[str, torch.Tensor], dict[str, Any]]:
    """(network, scaling, architecture) of a result: what a program that uses it does."""
    architecture = json.loads((model / "architecture.json").read_text())
    tensors = load_file(model / "model.safetensors")
    scaling = {name: tensors.pop(f"scaling.{name}") for name in ("mean", "spread")}
    network = built(architecture)
    network.load_state_dict(tensors)
    return network.eval(), scaling, architecture
