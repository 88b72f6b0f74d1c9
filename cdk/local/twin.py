"""The twin's own process: keeps the embedded AWS, SageMaker and the API's address up until it is told to stop.

An engine that dies is started again with what it had saved; its training jobs end, and the stack's sweeper starts
them anew. When this process dies, however it dies, everything that it started dies with it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .engine import Engine, EngineFailed
from .front import Front
from .sagemaker.protocol import SageMaker
from .sagemaker.protocol import Server as SageMakerServer
from .settings import Twin
from .streaming import Server, deployed

CHECK_S = 0.5
RESTARTS = 5
"""Within a minute; more is a fault that a restart does not cure."""
log = logging.getLogger("millrace.twin")


def pid_file(twin: Twin) -> Path:
    return twin.home / "twin.pid"


def ready_file(twin: Twin) -> Path:
    """There while everything listens."""
    return twin.home / "ready"


def running(twin: Twin) -> int | None:
    """Process id of the live twin of this folder."""
    try:
        pid = int(pid_file(twin).read_text())
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"cdk.local" not in command.read_bytes():
            return None
    except (OSError, ValueError):
        return None
    return pid


def read_record(twin: Twin) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(twin.record.read_text()) if twin.record.is_file() else {}
    return found


class Running:
    """Everything of a running twin, in one process and its children."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.stopping = threading.Event()
        self.sagemaker = SageMaker(twin)
        self.server = SageMakerServer(self.sagemaker)
        self.front = Front(twin)
        self.engine: Engine | None = None
        self._stream: Server | None = None
        self._restarts: list[float] = []
        self._serving: list[SageMakerServer | Front] = []

    def start(self) -> None:
        self.server.start()
        self._serving.append(self.server)
        self.engine = Engine.start(self.twin, self.server.port)
        self.sagemaker.endpoints.resume()
        self.front.start()
        self._serving.append(self.front)
        self.read_outputs()
        ready_file(self.twin).touch()

    def read_outputs(self) -> None:
        """What `up` wrote after deploying: which API is behind our address, and the demo tenant's key."""
        record = read_record(self.twin)
        outputs = record.get("outputs", {})
        if api_id := outputs.get("ApiId"):
            stream = self.streaming(outputs["StreamFunction"]) if "StreamFunction" in outputs else None
            self.front.point_at(api_id, record.get("demo_key", ""), stream)

    def streaming(self, name: str) -> Callable[[], Server]:
        """Starts with the first stream that is asked for; a new deployment takes the old one's place."""
        if self._stream is not None:
            self._stream.stop()
        self._stream = None
        lock = threading.Lock()

        def server() -> Server:
            with lock:
                if self._stream is None:
                    self._stream = Server(self.twin, deployed(self.twin, name))
                return self._stream

        return server

    def watch(self) -> None:
        while not self.stopping.wait(CHECK_S):
            if self.engine is not None and not self.engine.alive():
                self._again()

    def _again(self) -> None:
        now = time.monotonic()
        self._restarts = [t for t in self._restarts if now - t < 60] + [now]
        if len(self._restarts) > RESTARTS:
            log.error("The embedded AWS died %d times within a minute; the twin stops.", RESTARTS)
            self.stopping.set()
            return
        log.warning("The embedded AWS died; it is started again.")
        self.sagemaker.jobs.abandon()
        try:
            self.engine = Engine.start(self.twin, self.server.port)
        except EngineFailed as error:
            log.error("%s", error)

    def stop(self) -> None:
        self.stopping.set()
        ready_file(self.twin).unlink(missing_ok=True)
        self.sagemaker.shut_down()
        if self._stream is not None:
            self._stream.stop()
        if self.engine is not None:
            self.engine.stop()
        for server in self._serving:
            server.shutdown()
        self.server.server_close()
        self.front.server_close()
        pid_file(self.twin).unlink(missing_ok=True)


def serve(twin: Twin) -> None:
    """Run until SIGTERM. SIGHUP reads the outputs again after a deployment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ready_file(twin).unlink(missing_ok=True)
    pid_file(twin).write_text(str(os.getpid()))
    held = Running(twin)
    signal.signal(signal.SIGTERM, lambda *_: held.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: held.stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: held.read_outputs())
    try:
        held.start()
        held.watch()
    finally:
        held.stop()
