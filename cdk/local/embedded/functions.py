"""Lambda functions as Lambda runs them: our worker, code unpacked once per version, errors by class name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import queue
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from . import worker

_DIED = "Worker process died"
"""What ministack says of a process that ended in the middle; Lambda calls it Runtime.ExitError."""
KEPT_VERSIONS = 24
"""Unpacked assets that stay on disk, the last used first."""


def install() -> None:
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    script = Path(worker.__file__).read_text()
    detect = lambda_runtime._detect_runtime_binary
    lambda_runtime._detect_runtime_binary = lambda runtime: (
        (sys.executable, script) if runtime.startswith("python") else detect(runtime)
    )
    _unpack_once(lambda_runtime.Worker, Path(os.environ["STATE_DIR"]) / "code")
    lambda_runtime.Worker._drain_stderr_bounded = _log_of_invocation
    inner = lambda_svc._execute_function_warm
    lambda_svc._execute_function_warm = lambda *args: _with_error(inner(*args))
    reply = lambda_svc.lambda_execute_result_to_api_proxy_response
    lambda_svc.lambda_execute_result_to_api_proxy_response = lambda result: _behind_an_api(result, reply)


def _with_error(result: dict[str, Any]) -> dict[str, Any]:
    body = result.get("body")
    if isinstance(body, dict) and worker.FAILED in body:
        return {"body": body[worker.FAILED], "error": True, "log": result.get("log", "")}
    if isinstance(body, dict) and body.get("errorMessage") == _DIED:
        return {**result, "body": {"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited"}}
    return result


def _behind_an_api(result: dict[str, Any], reply: Any) -> Any:
    """An HTTP API tells its callers nothing of why a function failed, or that it is at its limit."""
    if result.get("throttle"):
        return _said(503, "Service Unavailable"), None
    return (_said(500, "Internal Server Error"), None) if result.get("error") else reply(result)


def _said(status: int, message: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps({"message": message})}


def _log_of_invocation(self: Any, *_: Any) -> str:
    """Every line up to the worker's mark; ministack's own guess costs 50 ms per silent call."""
    found = []
    deadline = time.monotonic() + 0.5
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = self._stderr_queue.get(timeout=left)
        except queue.Empty:
            break
        if line == worker.END_OF_LOG:
            break
        found.append(line)
    return "\n".join(found)


def _unpack_once(kind: Any, root: Path) -> None:
    inner = kind.__init__
    nothing = io.BytesIO()
    zipfile.ZipFile(nothing, "w").close()

    def init(self: Any, name: str, config: dict[str, Any], code: bytes) -> None:
        if not str(config.get("Runtime", "")).startswith("python"):
            inner(self, name, config, code)
            return
        variables = config.get("Environment", {}).get("Variables", {})
        changed = {**config, "Environment": {"Variables": {**variables, "_TWIN_CODE": str(unpacked(root, code))}}}
        inner(self, name, changed, nothing.getvalue())

    kind.__init__ = init


def unpacked(root: Path, code: bytes) -> Path:
    """Folder of an asset's files, made whole or not at all."""
    target = root / hashlib.sha256(code).hexdigest()[:32]
    if not target.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        part = tempfile.mkdtemp(dir=root, prefix=".part-")
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            archive.extractall(part)
        try:
            os.rename(part, target)
        except OSError:  # another thread was first
            shutil.rmtree(part, ignore_errors=True)
    os.utime(target)
    for old in sorted(root.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)[KEPT_VERSIONS:]:
        shutil.rmtree(old, ignore_errors=True)
    return target
