"""One network of the user's own, a ResNet, and transfer from a backbone, on digits."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from millrace.architecture import Task
from millrace.errors import InvalidInput
from PIL import Image

from tests.training_containers.cnn_search import digits
from tests.training_containers.cnn_search.conftest import job, put, run
from training_containers.cnn_search import backbone, network, weights
from training_containers.cnn_search.build import Network
from training_containers.cnn_search.transfer import opened
from training_containers.common import manifest
from training_containers.common.job import Job

OWN = {"blocks": [{"kind": "conv", "filters": 16}, {"kind": "pool"}, {"kind": "conv", "filters": 32}]}


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Job:
    """The user's own architecture, with the user's own values over its recipe."""
    own = {"architecture": json.dumps(OWN | {"training": {"optimizer": "sgd", "learning_rate": 0.5}})}
    over = {"optimizer": "adamw", "learning_rate": 0.02, "epochs": 6, "batch_size": 32, "baselines": False}
    made = job(tmp_path_factory.mktemp("native"), small, "cnn-native", **own, **over)
    run(made)
    return made


def test_the_users_architecture_is_trained_with_the_users_values(native: Job) -> None:
    told = manifest.read(native.model)

    recipe = told.hyperparameters["winner"]["training"]
    assert {name: told.hyperparameters[name] for name in ("epochs", "batch_size", "optimizer")} == {
        name: recipe[name] for name in ("epochs", "batch_size", "optimizer")
    }
    assert (recipe["optimizer"], recipe["learning_rate"], recipe["epochs"]) == ("adamw", 0.02, 6)
    assert told.strategy == "cnn-native" and told.metrics["test_accuracy"] > 0.7
    described, model = network.load(native.model)
    assert described.classes == [str(n) for n in range(10)]
    assert sum(p.numel() for p in model.parameters()) == told.metrics["parameters"]


def test_a_resnet_is_what_is_trained_where_nothing_is_said(tmp_path: Path, small: Path) -> None:
    made = job(tmp_path, small, "cnn-native", epochs=3, batch_size=32, seeds=2, workers=2)
    run(made)

    figures = manifest.read(made.model).metrics
    assert figures["seeds"] == 2 and 0 < figures["resnet_test_accuracy"] <= 1
    assert "class Residual(nn.Module):" in (made.model / "model.py").read_text()


def test_a_model_of_ours_is_a_backbone_for_other_classes(native: Job, tmp_path: Path) -> None:
    images, labels = digits.arrays()
    odd = [
        (f"{y % 2}/{i}.png", int(y) % 2, digits.png(x), None)
        for i, (x, y) in enumerate(zip(images, labels, strict=True))
    ]
    train = digits.write(tmp_path / "odd", odd[::6], ["even", "odd"])
    settings = {"epochs": 3, "frozen_epochs": 2, "batch_size": 32, "baselines": False}
    made = put(job(tmp_path / "job", train, "cnn-transfer", **settings), "base", native.model)

    lines = run(made)

    told = manifest.read(made.model)
    assert told.base == manifest.sha256(native.model / "manifest.json")
    assert told.metrics["test_accuracy"] > 0.7 and network.read(made.model).task.classes == 2
    assert {line["trial"] for line in lines if line.get("epoch")} == {1}


def test_a_resnet_with_torchvisions_names_is_a_backbone_for_colour_images(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    files = []
    for number in range(36):
        pixels = draw.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        pixels[..., number % 2] += 150
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        files.append((f"{'ab'[number % 2]}/{number:02d}.png", number % 2, out.getvalue(), None))
    train = digits.write(tmp_path / "colour", files, ["red", "green"])
    settings = {"epochs": 2, "frozen_epochs": 3, "batch_size": 8, "size": 32, "baselines": False}
    made = job(tmp_path / "job", train, "cnn-transfer", **settings)
    made.channel("base").mkdir()
    safetensors.torch.save_file(resnet18(), made.channel("base") / "resnet18.safetensors")

    run(made)

    described, model = network.load(made.model)
    assert described.backbone == backbone.Backbone(block="basic", depth=[2, 2, 2, 2], width=8)
    assert described.mean == backbone.IMAGENET_MEAN and manifest.read(made.model).metrics["classes"] == 2
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def resnet18(width: int = 8) -> dict[str, torch.Tensor]:
    """Random weights under the names that torchvision gives them, an eighth as wide."""
    made: dict[str, torch.Tensor] = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        made[f"{name}.weight"] = torch.randn(out, into, kernel, kernel) * (into * kernel * kernel) ** -0.5

    def norm(name: str, n: int) -> None:
        made[f"{name}.weight"], made[f"{name}.bias"] = torch.ones(n), torch.zeros(n)
        made[f"{name}.running_mean"], made[f"{name}.running_var"] = torch.zeros(n), torch.ones(n)
        made[f"{name}.num_batches_tracked"] = torch.tensor(0)

    conv("conv1", width, 3, 7)
    norm("bn1", width)
    into = width
    for stage in range(4):
        out = width << stage
        for block in range(2):
            at = f"layer{stage + 1}.{block}"
            conv(f"{at}.conv1", out, into, 3)
            norm(f"{at}.bn1", out)
            conv(f"{at}.conv2", out, out, 3)
            norm(f"{at}.bn2", out)
            if into != out:
                conv(f"{at}.downsample.0", out, into, 1)
                norm(f"{at}.downsample.1", out)
            into = out
    made["fc.weight"], made["fc.bias"] = torch.randn(1000, into), torch.zeros(1000)
    return made


def test_the_backbones_arithmetic_is_he_et_als() -> None:
    """Written out by hand from torchvision's names, as its own forward does it."""
    theirs = resnet18()
    described = backbone.recognised(weights.Tensors({k: ("F32", tuple(v.shape)) for k, v in theirs.items()}))
    task = Task(height=40, width=40, channels=3, classes=7, samples=1)
    model = Network(described.plan(task)).eval()
    model.load_state_dict(backbone.renamed(theirs, described), strict=False)
    x = torch.randn(2, 3, 40, 40)

    torch.testing.assert_close(model.features(x), _by_hand(theirs, x))


def _by_hand(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    f = torch.nn.functional

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return f.batch_norm(x, *(w[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    x = f.max_pool2d(norm("bn1", f.conv2d(x, w["conv1.weight"], stride=2, padding=3)).relu(), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            out = norm(f"{at}.bn1", f.conv2d(x, w[f"{at}.conv1.weight"], stride=stride, padding=1)).relu()
            out = norm(f"{at}.bn2", f.conv2d(out, w[f"{at}.conv2.weight"], padding=1))
            if f"{at}.downsample.0.weight" in w:
                x = norm(f"{at}.downsample.1", f.conv2d(x, w[f"{at}.downsample.0.weight"], stride=stride))
            x = (out + x).relu()
    return x


@pytest.mark.parametrize("keys", [{}, {"model.embed_tokens.weight": torch.zeros(4, 4)}])
def test_what_is_no_backbone_is_told(tmp_path: Path, keys: dict[str, torch.Tensor]) -> None:
    safetensors.torch.save_file(keys, tmp_path / "x.safetensors")

    with pytest.raises(InvalidInput, match="no backbone that is known"):
        opened(tmp_path)
