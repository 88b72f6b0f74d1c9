"""Where a network is trained, when a training ends, and what it tells."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from millrace.architecture import Spec, Task, plan
from millrace.blocks import Recipe
from millrace.errors import InvalidInput

from tests.training_containers.cnn_search import digits
from tests.training_containers.cnn_search.conftest import ROOT
from training_containers.cnn_search.build import Network
from training_containers.cnn_search.data import Set
from training_containers.cnn_search.train import (
    Prepared,
    Told,
    Watch,
    _batches,
    _places,
    behind,
    cross_entropy,
    device_for,
    evaluate,
    fit,
    seeded,
)

SMALL = {"blocks": [{"kind": "conv", "filters": 16}, {"kind": "pool"}, {"kind": "conv", "filters": 32}]}

GPU = """
import training_containers.cnn_search.search
import torch

def opened():
    raise SystemExit("CUDA was opened: what is forked later cannot open it again.")

torch.cuda._is_compiled = lambda: True
torch.cuda._device_count_nvml = lambda: 1
torch._C._cuda_getDeviceCount = opened
print(training_containers.cnn_search.train.device_for("auto"))
"""


def test_a_gpu_is_found_without_opening_it_for_trials_are_forked_later() -> None:
    """J2, S3: on a machine of which PyTorch believes that it has one."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}", "OMP_NUM_THREADS": "1"}

    done = subprocess.run([sys.executable, "-c", GPU], env=env, capture_output=True, text=True, timeout=120)

    assert (done.stdout.strip(), done.returncode) == ("cuda", 0), done.stderr


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """J2."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    assert device_for("auto") == device_for("cpu") == "cpu"
    with pytest.raises(InvalidInput, match=rf"There is no device '{name}' on this machine; there is cpu\."):
        device_for(name)


def seen(epochs: int = 6, target: float = math.inf, yields: bool = False, rate: float = 0.01) -> tuple[Any, ...]:
    """One training on a quarter of the digits: what it told, the looks on the way, and the network measured again."""
    spec = Spec.model_validate(SMALL | {"training": {"batch_size": 32, "epochs": epochs, "learning_rate": rate}})
    images, labels = (torch.from_numpy(one[::4].copy()) for one in digits.arrays())
    train, held = Set(images[90:, None], labels[90:]), Set(images[:90, None], labels[:90])
    task = Task(height=8, width=8, channels=1, classes=10, samples=len(train))
    prepare = Prepared.of([0.3], [0.4], "cpu")
    torch.manual_seed(0)
    model, looks = Network(plan(spec, task)), list[Told]()
    told = fit(model, train, held, spec.training, prepare, seed=0, target=target, yields=yields, look=looks.append)
    return told, looks, evaluate(model, held, prepare)


def test_what_is_told_last_is_what_the_network_does_to_the_last_digit() -> None:
    """S2: of the mean of the last steps, which is the network from then on."""
    told, looks, again = seen()

    assert (told.accuracy, told.validation_loss) == (again.accuracy, round(again.loss, 6))
    assert looks[-1] == told and told.epoch == told.epochs == 6


def test_a_training_ends_within_the_epoch_that_reaches_its_target() -> None:
    whole, curve, _ = seen(epochs=12)
    target = curve[-2].accuracy  # it is there at the last epoch but one, or before

    told, looks, again = seen(epochs=12, target=target)

    assert told.accuracy == again.accuracy >= target and told.epoch < whole.epoch
    assert all(look.accuracy < target for look in looks[:-1]) and looks[-1] == told
    assert [look.epoch for look in looks] == list(range(1, told.epoch + 1))


def test_looks_that_the_hardest_images_spare_would_have_found_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    target = seen(epochs=12)[0].accuracy + 0.005  # near for some epochs, and hardly there
    spared, looked = seen(epochs=12, target=target), list[bool]()

    monkeypatch.setattr(Watch, "_may_reach", lambda watch: looked.append(watch.near) or watch.near)

    assert seen(epochs=12, target=target)[:2] == spared[:2] and sum(looked) > 3


def test_one_that_lies_far_behind_gives_way_only_where_it_is_asked_to() -> None:
    patient, impatient = seen(8, 0.99, rate=1e-5), seen(8, 0.99, yields=True, rate=1e-5)

    assert patient[0].epoch == 8 and impatient[0].epoch < 4
    assert not behind(Told(1, 8, 1.0, 1.0, 0.6), 0.985) and behind(Told(4, 8, 1.0, 1.0, 0.6), 0.985)
    assert not behind(Told(4, 8, 1.0, 1.0, 0.6), 0.9), "the error counts by that of the target"


@pytest.mark.parametrize(("images", "batch"), [(50, 16), (8, 1024), (33, 8), (3, 8)])
def test_each_image_is_in_every_epoch_and_all_batches_have_one_size(images: int, batch: int) -> None:
    size = -(-images // -(-images // batch))
    pixels = torch.arange(images, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    prepare, draw = Prepared.of([0.0], [1.0], "cpu"), torch.Generator().manual_seed(0)

    made = list(_batches(pixels, torch.arange(images), size, Recipe(epochs=2, batch_size=batch), prepare, draw))

    assert {len(x) for x, _ in made} == {size} and len(made) % 2 == 0
    for epoch in (made[: len(made) // 2], made[len(made) // 2 :]):
        assert {int(label) for _, y in epoch for label in y} == set(range(images))
    assert all(torch.equal((x[:, 0, 0, 0] * 255).round().long(), y) for x, y in made)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_and_its_gradient_are_those_of_torch(smoothing: float) -> None:
    torch.manual_seed(0)
    y = torch.randint(0, 7, (33,))
    ours = (4 * torch.randn(33, 7)).bfloat16().requires_grad_()
    theirs = ours.detach().clone().requires_grad_()

    one, other = cross_entropy(ours, y, smoothing), F.cross_entropy(theirs.float(), y, label_smoothing=smoothing)
    one.backward()  # type: ignore[no-untyped-call]
    other.backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(one, other)
    assert ours.grad is not None and theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 12)])
def test_images_are_moved_to_where_torch_would_move_them(height: int, width: int) -> None:
    torch.manual_seed(0)
    moves = torch.randn(7, 2, 3)

    places = _places(moves, height, width)

    torch.testing.assert_close(places, F.affine_grid(moves, [7, 1, height, width], align_corners=False))


def test_a_seed_draws_what_it_draws_everywhere() -> None:
    torch.manual_seed(5)
    before = torch.rand(3)

    seeded(5, "cpu")

    assert torch.equal(torch.rand(3), before)


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_gradients_come_in_the_layout_that_layers_work_in(pool: str) -> None:
    """Else activations and norms go backward many times as slowly, element by element."""
    spec = Spec.model_validate(SMALL | {"head": {"pool": pool}})
    model = Network(plan(spec, Task(height=8, width=8, channels=1, classes=10, samples=64)))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    seen: list[bool] = []
    norms = [module for module in model.features if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_hook(
            lambda module, given, out: (
                out.register_hook(
                    lambda gradient: seen.append(gradient.is_contiguous(memory_format=torch.channels_last))
                )
                and None
            )
        )

    model(torch.rand(4, 1, 8, 8).to(memory_format=torch.channels_last)).sum().backward()

    assert seen == [True] * len(norms) and norms
