"""The embedded AWS: `python -m cdk.local.embedded`, run by the engine's own Python.

Environment: GATEWAY_PORT, STATE_DIR, S3_DATA_DIR (ministack's), MILLRACE_SAGEMAKER_PORT, MILLRACE_SAVE_S, and
MILLRACE_PARENT, the process id that this one must not outlive.
"""

from __future__ import annotations

import os
import threading
import time

WATCH_S = 0.3

FIXED = {
    "BIND_HOST": "127.0.0.1",
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    "PERSIST_STATE": "1",
    "S3_PERSIST": "1",
    "DOCKER_HOST": "unix:///nonexistent/docker.sock",
    "LOG_LEVEL": "WARNING",
}
"""One address, everything kept on disk, no side doors, no search for a Docker engine."""


def die_with(parent: int) -> None:
    """End at once when the process that started this one is gone, however it went: every change is on disk already.

    The kernel's own signal for this will not do: it comes when the starting thread ends, and an exit that waits for
    running executions may never end.
    """
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def main() -> None:
    parent = int(os.environ.pop("MILLRACE_PARENT", os.getppid()))
    threading.Thread(target=die_with, args=(parent,), daemon=True, name="watch").start()
    os.environ.update(FIXED)
    os.environ.pop("PYTHONPATH", None)  # workers of functions see their asset, not this repository
    inner_port = int(os.environ.pop("MILLRACE_SAGEMAKER_PORT"))
    save_s = float(os.environ.pop("MILLRACE_SAVE_S", "1"))

    from ministack import app

    from . import events, forward, functions, objects, persistence, queues, resources, training

    functions.install()
    queues.install()
    events.install()
    objects.install()
    resources.install()
    training.install(inner_port)
    saver = persistence.install(save_s)
    app.app = forward.wrap(app.app, inner_port, saver.save_now)
    app.main()


if __name__ == "__main__":
    main()
