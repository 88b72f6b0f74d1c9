"""A container's lines to CloudWatch Logs, within about half a second."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

EVERY_S = 0.4
BATCH = 500
LINE_CHARS = 64_000


class LogStream:
    """Collects lines and sends them in batches; `close` sends the rest. A batch that Logs does not take is dropped."""

    def __init__(self, logs: Any, group: str, stream: str) -> None:
        self.logs = logs
        self.group = group
        self.stream = stream
        self._lines: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        for create, names in (
            (logs.create_log_group, {"logGroupName": group}),
            (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
        ):
            with contextlib.suppress(ClientError, BotoCoreError):  # there already
                create(**names)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        if text := line.rstrip("\n")[:LINE_CHARS]:
            with self._lock:
                self._lines.append({"timestamp": int(time.time() * 1000), "message": text})

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._closed.wait(EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        while True:
            with self._lock:
                batch, self._lines = self._lines[:BATCH], self._lines[BATCH:]
            if not batch:
                return
            with contextlib.suppress(ClientError, BotoCoreError):
                self.logs.put_log_events(logGroupName=self.group, logStreamName=self.stream, logEvents=batch)
