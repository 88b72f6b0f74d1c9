"""Splits: given or drawn, by class, the same bytes on one side, and the test split looked at once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from millrace.errors import InvalidInput, TrainingFailed

from tests.training_containers.cnn_search import digits
from tests.training_containers.cnn_search.conftest import ROOT
from training_containers.cnn_search import data

IMAGES, LABELS = digits.arrays()


def files(n: int, split: str | None = None) -> list[tuple[str, int, bytes, str | None]]:
    return [(f"{y}/{i:04d}.png", int(y), digits.png(IMAGES[i]), split) for i, y in enumerate(LABELS[:n])]


def test_a_drawn_split_holds_every_class_in_its_share_and_follows_the_seed(channel: Path) -> None:
    one, again, other = data.load(channel, 0), data.load(channel, 0), data.load(channel, 1)

    assert [len(one.rows[name]) for name in data.SPLITS] == [1259, 269, 269]
    for name in data.SPLITS:
        counts = Counter(row.label for row in one.rows[name])
        assert len(counts) == 10 and max(counts.values()) <= min(counts.values()) + 8
    assert one.rows == again.rows and one.rows["test"] != other.rows["test"]
    assert not {r.path for r in one.rows["train"]} & {r.path for r in one.rows["test"]}


def test_the_tensors_are_the_pixels_and_the_test_split_is_read_once(channel: Path) -> None:
    loaded = data.load(channel, 0)
    row = loaded.rows["train"][7]

    assert torch.equal(loaded.train.images[7, 0], torch.from_numpy(IMAGES[int(row.path[2:6])]))
    assert loaded.train.labels[7] == row.label == int(row.path[0])
    assert loaded.task.model_dump() == {"height": 8, "width": 8, "channels": 1, "classes": 10, "samples": 1259}
    assert len(loaded.test()) == 269
    with pytest.raises(TrainingFailed, match="read already"):
        loaded.test()


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_those_of_the_pixels(channels: int) -> None:
    images = torch.randint(0, 256, (2_500, channels, 8, 9), dtype=torch.uint8, generator=torch.manual_seed(0))
    images[:, 0] //= 3

    mean, std = data.spread(images)

    pixels = images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(pixels.std((0, 2, 3)).tolist(), abs=1e-12)
    assert data.spread(torch.full((2, 1, 8, 8), 7, dtype=torch.uint8))[1] == [1e-3]


def test_mean_and_deviation_take_little_memory_beside_the_images() -> None:
    """S3: what `load` lets through, a quarter of the machine, leaves no room for copies of eight bytes a pixel."""
    code = f"""
import resource, torch
from training_containers.cnn_search import data
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
images = torch.full(({64 << 10}, 1, 32, 32), 9, dtype=torch.uint8)
data.spread(images[:2_000])
before = peak()
data.spread(images)
print(peak() - before)
"""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=True
    )

    assert int(done.stdout) < 64  # MiB: fewer than the images themselves


def test_the_same_bytes_lie_on_one_side_and_under_two_labels_nowhere(tmp_path: Path) -> None:
    doubled = files(200)
    doubled += [(path.replace(".png", "-copy.png"), label, body, None) for path, label, body, _ in doubled[:100]]
    doubled += [("3/liar.png", 3, doubled[0][2], None)]
    loaded = data.load(digits.write(tmp_path, doubled, [str(n) for n in range(10)]), 0)

    sides = {name: {row.sha256 for row in loaded.rows[name]} for name in data.SPLITS}
    assert not sides["train"] & sides["test"] and not sides["train"] & sides["validation"]
    assert loaded.left_out == 3  # the liar, its original and the copy of that


def test_given_splits_stand_and_a_copy_of_a_test_image_does_not_train(tmp_path: Path) -> None:
    given = files(200, "train")[40:] + files(40, "test")
    given += [("0/leak.png", int(LABELS[0]), digits.png(IMAGES[0]), "train")]
    loaded = data.load(digits.write(tmp_path, given, [str(n) for n in range(10)]), 0)

    assert {row.path for row in loaded.rows["test"]} == {f[0] for f in files(40)}
    assert "0/leak.png" not in {row.path for name in data.SPLITS for row in loaded.rows[name]}
    assert loaded.rows["validation"] and loaded.left_out == 1


@pytest.mark.parametrize(
    ("n", "classes", "sentence"),
    [(3, 10, "no image of the class"), (0, 2, "no image of the class"), (30, 11, "no image of the class '10'")],
)
def test_too_few_images_are_told(tmp_path: Path, n: int, classes: int, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        data.load(digits.write(tmp_path, files(n), [str(c) for c in range(classes)]), 0)
