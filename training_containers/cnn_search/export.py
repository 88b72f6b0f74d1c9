"""The winner as one readable PyTorch file and safetensors: it runs beside torch and safetensors alone.

The file is written from the plan that built the network, out of class names and numbers of ours; of what a person or a
model said only class names get in, as Python's own literals of text.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from . import build, modules, weights
from .build import Network
from .network import NETWORK_FILE, SOURCE_FILE, WEIGHTS_FILE, Described
from .train import EVALUATE_BATCH

_TEMPLATE = '''"""An image classifier: {classes} classes, {parameters:,} parameters, {height} x {width} pixels.

Needs torch and safetensors; `python model.py IMAGE` needs Pillow too. The weights are in {weights} beside this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

CLASSES = {names}
CHANNELS, HEIGHT, WIDTH = {channels}, {height}, {width}
MEAN, STD = {mean}, {std}
BATCH = {batch}
"""Images that are looked at together; accuracy was measured so."""

{helpers}
class Network(nn.Module):
    """`features` sees the image, `head` decides."""

    def __init__(self) -> None:
        super().__init__()
        self.features = {features}
        self.head = {head}

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def load(folder: Path = Path(__file__).parent) -> Network:
    """The network with its weights, ready to look."""
    model = Network()
    model.load_state_dict(load_file(folder / "{weights}"))
    return model.eval()


def prepare(images: Tensor) -> Tensor:
    """images: uint8 (N, C, H, W). Returns what the network was trained on."""
    mean, std = (torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (MEAN, STD))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def scores(model: Network, images: Tensor) -> Tensor:
    """images: uint8 (N, C, H, W). Returns (N, classes), before the softmax."""
    model = model.to(memory_format=torch.channels_last)
    return torch.cat([model(prepare(images[at : at + BATCH])) for at in range(0, len(images), BATCH)])


def main() -> None:
    from PIL import Image, ImageOps

    with Image.open(sys.argv[1]) as opened:
        image = ImageOps.exif_transpose(opened).convert("L" if CHANNELS == 1 else "RGB")
    image = ImageOps.fit(image, (WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(1, HEIGHT, WIDTH, CHANNELS)
    for share, name in sorted(zip(scores(load(), pixels.permute(0, 3, 1, 2)).softmax(1)[0].tolist(), CLASSES))[::-1]:
        print(f"{{share:.4f}}  {{name}}")


if __name__ == "__main__":
    main()
'''


def source(described: Described, model: Network) -> str:
    plan = described.plan()
    used = {layer.op for layer in (*plan.features, *plan.head)} | {
        inner.op for layer in plan.features for part in layer.parts.values() for inner in part
    }
    helpers = [
        inspect.getsource(helper)
        for op, helper in (("residual", modules.Residual), ("squeeze_excite", modules.SqueezeExcite))
        if op in used
    ]
    return _TEMPLATE.format(
        classes=len(described.classes),
        parameters=sum(p.numel() for p in model.parameters()),
        height=described.task.height,
        width=described.task.width,
        channels=described.task.channels,
        names=ascii(described.classes),
        mean=described.mean,
        std=described.std,
        batch=EVALUATE_BATCH,
        weights=WEIGHTS_FILE,
        helpers="".join(f"\n{helper}\n" for helper in helpers),
        features=build.sequence_source(plan.features, 8),
        head=build.sequence_source(plan.head, 8),
    )


def write(folder: Path, described: Described, model: Network) -> None:
    """model.safetensors, network.json and model.py into `folder`."""
    (folder / WEIGHTS_FILE).write_bytes(weights.dumps(model))
    (folder / NETWORK_FILE).write_text(described.model_dump_json(indent=1))
    (folder / SOURCE_FILE).write_text(source(described, model))
