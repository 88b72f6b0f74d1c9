"""Serves a network: `python -m training_containers.common.main cnn_search serve --root DIR` serves DIR/model.

SageMaker's `/ping` and `/invocations`: the bytes of one image in (JPEG, PNG, WEBP, BMP, GIF, whatever the content type
says), {"class", "probabilities": {class: share}, "latency_ms", "model"} out; with `Content-Type: application/json`
{"images": [base64, ...]}, at most 64, and {"predictions": [...]} out. The manifest's hashes, the header of the weights
and the description of the network are checked before anything is built; nothing in the folder is executed, and no
pickle is read. Errors have the shape of the GGUF server's; nothing that a caller sent is logged.
"""

from __future__ import annotations

import base64
import binascii
import json
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from millrace import contract
from millrace.container import Manifest
from millrace.errors import Corrupt, InvalidInput, MillraceError, Unavailable
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from training_containers.common import manifest, serving
from training_containers.common.images import pixels

from . import network
from .build import Network
from .network import Described
from .train import Prepared

MOST_IMAGES: Final = 64
Probabilities = list[float]


class Full(MillraceError):
    """Every place in the queue is taken."""

    status = 429
    code = "queue-full"


class TimedOut(Unavailable):
    status = 504
    code = "timeout"


class Unreadable(InvalidInput):
    """The body is no image that is read here."""

    code = "unreadable-image"


@dataclass(frozen=True)
class Settings(serving.Machine):
    """`workers` are threads that look at images, one batch each at a time."""

    queue: int = 32
    timeout_s: float = 30.0
    max_body_bytes: int = 6 << 20
    """As SageMaker has it."""


@dataclass
class Classifier:
    """A network and the queue before it. What waits together is looked at together."""

    described: Described
    model: Network
    settings: Settings
    counters: dict[str, int] = field(default_factory=lambda: {"requests": 0, "answered": 0, "refused": 0, "errors": 0})

    def __post_init__(self) -> None:
        self.model.eval()
        self._waiting: queue.Queue[tuple[Tensor, Future[list[Probabilities]]] | None] = queue.Queue(self.settings.queue)
        self._prepare = Prepared.of(self.described.mean, self.described.std, "cpu")
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.settings.workers)]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        return self._waiting.qsize()

    def count(self, name: str) -> None:
        with self._lock:
            self.counters[name] += 1

    def decoded(self, bodies: list[bytes]) -> Tensor:
        """uint8 (N, C, H, W). Unreadable where one is no image."""
        task = self.described.task
        try:
            arrays = [pixels(body, (task.height, task.width), task.channels) for body in bodies]
        except Corrupt as error:
            raise Unreadable(str(error)) from error
        return torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays])

    def look(self, images: Tensor) -> Future[list[Probabilities]]:
        """Shares by class of each image, soon. Full where too many wait."""
        future: Future[list[Probabilities]] = Future()
        try:
            self._waiting.put_nowait((images, future))
        except queue.Full:
            raise Full(f"{self.depth} requests are waiting already; try again in a second.") from None
        return future

    def close(self) -> None:
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < MOST_IMAGES:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._waiting.put(None)
                    break
                batch.append(more)
            self._answer([one for one in batch if one[1].set_running_or_notify_cancel()])

    def _answer(self, batch: list[tuple[Tensor, Future[list[Probabilities]]]]) -> None:
        if not batch:
            return
        try:
            with torch.inference_mode():
                shares = self.model(self._prepare(torch.cat([images for images, _ in batch]))).softmax(1).tolist()
        except Exception as error:
            # The border of the thread: whatever broke, the callers hear of it and the worker lives on.
            for _, future in batch:
                future.set_exception(error)
            return
        at = 0
        for images, future in batch:
            future.set_result(shares[at : at + len(images)])
            at += len(images)


class Server:
    """The routes over one classifier."""

    def __init__(self, classifier: Classifier, settings: Settings, told: Manifest) -> None:
        self.classifier, self.settings, self.told = classifier, settings, told
        self.started = time.time()

    def app(self) -> Starlette:
        routes = [
            Route("/ping", self.ping),
            Route("/health", self.health),
            Route("/invocations", self.invocations, methods=["POST"]),
        ]
        handlers: Any = {MillraceError: self._refused}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def ping(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def health(self, _: Request) -> Response:
        described = self.classifier.described
        told = {"status": "ok", "model": self.settings.name, "queue_depth": self.classifier.depth}
        image = {"height": described.task.height, "width": described.task.width, "channels": described.task.channels}
        counters = dict(self.classifier.counters)
        uptime = {"uptime_s": round(time.time() - self.started, 1)}
        return JSONResponse(told | counters | {"classes": described.classes, "image": image} | uptime)

    async def invocations(self, request: Request) -> Response:
        began = time.perf_counter()
        self.classifier.count("requests")
        try:
            body = await serving.body(request, self.settings.max_body_bytes)
        except ClientDisconnect:
            return Response(status_code=499)
        many = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        bodies = _images(body) if many else [body]
        images = await run_in_threadpool(self.classifier.decoded, bodies)
        found = await run_in_threadpool(self._answer, images)
        self.classifier.count("answered")
        latency = {"latency_ms": round((time.perf_counter() - began) * 1000, 2), "model": self.settings.name}
        told = [self._shares(one) for one in found]
        return JSONResponse({"predictions": told, **latency} if many else told[0] | latency)

    def _answer(self, images: Tensor) -> list[Probabilities]:
        future = self.classifier.look(images)
        try:
            return future.result(self.settings.timeout_s)
        except TimeoutError:
            future.cancel()
            raise TimedOut(f"No answer within {self.settings.timeout_s:g} s; try again.") from None
        except RuntimeError as error:
            raise Unavailable(f"The network could not answer ({type(error).__name__}).") from error

    def _shares(self, shares: Probabilities) -> dict[str, Any]:
        classes = self.classifier.described.classes
        best = max(range(len(classes)), key=shares.__getitem__)
        return {"class": classes[best], "probabilities": dict(zip(classes, shares, strict=True))}

    async def _refused(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, MillraceError)  # noqa: S101 - the handler is registered for this class alone
        self.classifier.count("refused" if error.status < 500 else "errors")
        kind = "invalid_request_error" if error.status < 500 and error.status != 429 else "server_error"
        headers = {"Retry-After": "1"} if error.status == 429 else {}
        told = {"error": {"message": str(error), "type": kind, "code": error.code, "param": None}}
        return JSONResponse(told, status_code=error.status, headers=headers)


def _images(body: bytes) -> list[bytes]:
    """{"images": [base64, ...]}."""
    try:
        listed = json.loads(body)["images"]
        if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_IMAGES:
            raise Unreadable(f"images: A list of 1 to {MOST_IMAGES} images as base64 is what is taken.")
        return [base64.b64decode(one, validate=True) for one in listed]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise Unreadable('A JSON body is {"images": [base64, ...]}.') from None


def build(root: Path, settings: Settings) -> Server:
    """The routes over the verified network below root."""
    folder = root / contract.MODEL
    told = manifest.read(folder)
    network.listed(told)
    described, model = network.load(folder)
    return Server(Classifier(described, model, settings), settings, told)


def main(root: Path) -> None:
    serving.serve(lambda: build(root, Settings.from_env()))
