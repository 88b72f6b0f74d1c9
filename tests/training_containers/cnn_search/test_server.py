"""A trained network behind /ping and /invocations, and files that are refused before anything of them is built."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import safetensors.torch
import torch
from millrace.architecture import Task, parse, plan
from millrace.errors import Corrupt
from PIL import Image
from starlette.testclient import TestClient

from tests.training_containers.cnn_search import digits
from tests.training_containers.serve.conftest import free_port, until
from training_containers.cnn_search import export, network, server, weights
from training_containers.cnn_search.build import Network
from training_containers.cnn_search.network import Described
from training_containers.common import manifest

TASK = Task(height=8, width=8, channels=1, classes=3, samples=9)
CLASSES = ["zero", 'o"ne\n"""', "__import__('os')"]
SPEC = parse({"blocks": [{"kind": "residual", "filters": 8, "squeeze": 4}], "head": {"dropout": 0.5}})


def folder(root: Path, format: str = "cnn") -> Path:
    described = Described(task=TASK, classes=CLASSES, mean=[0.5], std=[0.25], spec=SPEC)
    torch.manual_seed(0)
    model = root / "model"
    model.mkdir(parents=True)
    export.write(model, described, Network(plan(SPEC, TASK)))
    seal(model, format)
    return root


def seal(model: Path, format: str = "cnn") -> None:
    manifest.write(model, format=format, strategy="s", metrics={}, hyperparameters={}, source=Path(__file__).parent)


def encoded(format: str = "PNG", size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 77).save(out, format)
    return out.getvalue()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    made = server.build(folder(tmp_path), server.Settings(name="digits@1"))
    yield TestClient(made.app())
    made.classifier.close()


def test_an_image_goes_in_and_probabilities_come_out(client: TestClient, tmp_path: Path) -> None:
    told = client.post("/invocations", content=encoded(), headers={"Content-Type": "image/png"}).json()

    _, model = network.load(tmp_path / "model")
    expected = model((torch.full((1, 1, 8, 8), 77.0) / 255 - 0.5) / 0.25).softmax(1)[0].tolist()
    assert told["probabilities"] == pytest.approx(dict(zip(CLASSES, expected, strict=True)), abs=1e-5)
    assert told["class"] == max(told["probabilities"], key=told["probabilities"].__getitem__)
    assert sum(told["probabilities"].values()) == pytest.approx(1) and told["model"] == "digits@1"
    assert client.get("/ping").status_code == 200
    assert client.get("/health").json()["answered"] == 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_every_format_size_and_colour_is_read(client: TestClient, format: str) -> None:
    assert client.post("/invocations", content=encoded(format, (31, 17), "RGB")).status_code == 200


def test_many_images_are_answered_together(client: TestClient) -> None:
    body = {"images": [base64.b64encode(encoded()).decode()] * 3}
    told = client.post("/invocations", json=body).json()

    assert len(told["predictions"]) == 3 and told["predictions"][0] == told["predictions"][2]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "image/png", 422),
        (b"GIF89a", "image/gif", 422),
        (pickle.dumps({"x": 1}), "image/png", 422),
        (encoded()[:45], "image/png", 422),
        (b"x" * (7 << 20), "image/png", 413),
        (b"{}", "application/json", 422),
        (b"[" * 10_000, "application/json", 422),
        (b'{"images": ["%%%"]}', "application/json", 422),
        (b'{"images": []}', "application/json", 422),
        (json.dumps({"images": ["AA=="] * 65}).encode(), "application/json", 422),
    ],
)
def test_what_is_no_image_is_a_clear_refusal_that_repeats_nothing(
    client: TestClient, body: bytes, kind: str, status: int
) -> None:
    reply = client.post("/invocations", content=body, headers={"Content-Type": kind})

    assert reply.status_code == status and len(reply.json()["error"]["message"]) < 300


def test_a_full_queue_is_429_and_a_slow_answer_504(tmp_path: Path) -> None:
    gate = threading.Event()

    class Slow(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate.wait(10)
            return super().forward(x)

    described, _ = network.load(folder(tmp_path) / "model")
    settings = server.Settings(queue=1, timeout_s=0.2)
    classifier = server.Classifier(described, Slow(plan(SPEC, TASK)), settings)
    client = TestClient(server.Server(classifier, settings, manifest.read(tmp_path / "model")).app())

    first = client.post("/invocations", content=encoded())  # the worker holds it
    second = client.post("/invocations", content=encoded())  # waits in the queue, past its time
    third = client.post("/invocations", content=encoded())
    gate.set()

    assert (first.status_code, second.status_code, third.status_code) == (504, 504, 429)
    assert third.headers["retry-after"] == "1"
    classifier.close()


def rewritten(model: Path, header: bytes, body: bytes = b"") -> None:
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x04" + b"x" * 40,
        pickle.dumps({"features.0.weight": [1.0]}),
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"{}" + b"extra",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 5) + b"[[[[[",
        *(
            struct.pack("<Q", len(h)) + h + b"\0" * 8
            for h in (
                b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}',
                b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
                b'{"a":{"dtype":"PICKLE","shape":[2],"data_offsets":[0,8]}}',
                b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
                b'{"a":7}',
                b'{"a":{"dtype":"F32","shape":[1e9,1e9],"data_offsets":[0,8]}}',
            )
        ),
    ],
)
def test_a_crafted_file_of_weights_is_refused(tmp_path: Path, raw: bytes) -> None:
    folder(tmp_path)
    (tmp_path / "model" / "model.safetensors").write_bytes(raw)
    seal(tmp_path / "model")

    with pytest.raises(Corrupt):
        server.build(tmp_path, server.Settings())


def test_weights_of_another_network_or_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    described, model = network.load(folder(tmp_path) / "model")
    state = weights.state(model)

    for odd in (
        {k: v for k, v in state.items() if "head" not in k},
        state | {"more": torch.zeros(1)},
        state | {"head.3.bias": torch.zeros(4)},
        state | {"head.3.bias": torch.full((3,), float("nan"))},
        state | {"head.3.bias": torch.zeros(3, dtype=torch.float16)},
    ):
        with pytest.raises(Corrupt):
            weights.put(described.build(), weights.loads(safetensors.torch.save(odd), "odd"), "odd")


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"blocks": [{"kind": "exec"}]}},
        {"classes": ["a", "b"]},
        {"mean": [0.5, 0.5, 0.5]},
        {"task": TASK.model_dump() | {"height": 10**9}},
        {"spec": None},
        {"spec": {"blocks": [{"kind": "conv", "filters": 1024, "kernel": 7}] * 48}},
        {"backbone": {"block": "basic", "depth": [10**9]}},
        {"code": "import os"},
    ],
)
def test_a_crafted_description_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = folder(tmp_path) / "model" / "network.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    seal(tmp_path / "model")

    with pytest.raises(Corrupt):
        server.build(tmp_path, server.Settings())


def test_a_manifest_of_something_else_or_a_changed_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="no network"):
        server.build(folder(tmp_path / "one", format="gguf"), server.Settings())
    path = folder(tmp_path / "two") / "model" / "network.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(Corrupt, match=r"network\.json"):
        server.build(tmp_path / "two", server.Settings())


def test_the_exported_source_holds_hostile_class_names_as_text(tmp_path: Path) -> None:
    model = folder(tmp_path) / "model"
    code = "import sys; sys.path.insert(0, sys.argv[1]); import model; print(ascii(model.CLASSES))"

    done = subprocess.run([sys.executable, "-P", "-c", code, str(model)], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ascii(CLASSES)


def test_the_container_serves_it_and_ends_at_sigterm(tmp_path: Path) -> None:
    port = free_port()
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MILLRACE_BIND_HOST": "127.0.0.1"}
    env |= {"SAGEMAKER_BIND_TO_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "training_containers.common.main", "cnn_search", "serve"]
    process = subprocess.Popen([*command, "--root", str(folder(tmp_path))], env=env, stdout=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or _answers(url))
        image = digits.png(digits.arrays()[0][0])
        assert httpx.post(f"{url}/invocations", content=image).json()["class"] in CLASSES
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
    assert process.stdout is not None and image[:8].hex() not in process.stdout.read()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_nothing_fit_to_be_served_ends_with_a_sentence(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "training_containers.common.main", "cnn_search", "serve", "--root", str(tmp_path)]

    done = subprocess.run(command, env=env, capture_output=True, text=True)

    assert done.returncode == 1 and "manifest.json" in done.stderr.splitlines()[-1]
