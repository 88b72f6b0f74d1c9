"""The serving process: `python -m training_containers.common.main serve serve --root DIR` serves DIR/model.

The manifest's hashes and the file's header are checked before llama.cpp opens it; SIGTERM lets running answers end.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Final

import uvicorn
from millrace.errors import MillraceError

from .api import Server
from .engine import LlamaEngine
from .settings import Settings, opened

GRACE_S: Final = 20
"""SageMaker kills 30 s after SIGTERM."""


def main(root: Path) -> None:
    """Serve until SIGTERM; exits 1 with one sentence when there is nothing fit to be served."""
    settings = Settings.from_env()
    try:
        server = build(root, settings)
    except MillraceError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again once it has shut down
    print(json.dumps({"type": "serving", "host": settings.host, "port": settings.port}), flush=True)
    uvicorn.run(
        server.app(),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
    )


def build(root: Path, settings: Settings) -> Server:
    """The routes over the verified model below root."""
    path, serving, _ = opened(root)
    engine = LlamaEngine(path, settings.context or serving.context, settings.n_threads, settings.gpu_layers)
    return Server(engine, settings, serving)
