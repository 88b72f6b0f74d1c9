"""The process that runs one Lambda function for the embedded AWS: JSON lines in on stdin, one line out per event.

A standalone script: ministack copies its text and starts it with the engine's Python. What it adds to ministack's own
worker: errors keep their class name, a failed call keeps the process warm as Lambda does, code is unpacked once per
version and not once per process, the 6 MB limit of a reply holds, and nothing outlives the engine.
"""

import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from typing import Any

MAX_REPLY_BYTES = 6 * 1024 * 1024
END_OF_LOG = "\x00end-of-invocation"
FAILED = "__twin_error__"


class Context:
    """What Lambda hands to a handler beside the event."""

    identity = None
    client_context = None

    def __init__(self, init: dict[str, Any], call: dict[str, Any]) -> None:
        self.function_name = init.get("function_name", "")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.memory_limit_in_mb = init.get("memory", 128)
        self.invoked_function_arn = call.get("invoked_function_arn") or init.get("arn", "")
        self.aws_request_id = call.get("request_id", "")
        self.log_group_name = f"/aws/lambda/{self.function_name}"
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self._deadline = time.monotonic() + call.get("timeout_ms", 3000) / 1000

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def lines() -> "queue.SimpleQueue[str]":
    """Stdin in a thread of its own, so that its end is seen in the middle of a handler too."""
    found: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            found.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return found


def load(init: dict[str, Any]) -> Any:
    code = os.environ.pop("_TWIN_CODE", init["code_dir"])
    os.environ.pop("PYTHONPATH", None)
    os.environ["LAMBDA_TASK_ROOT"] = code
    os.chdir(code)
    sys.path[0] = code
    return getattr(importlib.import_module(init["module"]), init["handler"])


def invoke(handler: Any, event: Any, context: Context) -> str:
    """The reply line. Whatever the handler raises becomes {errorType, errorMessage, stackTrace}, as Lambda has it."""
    try:
        result = handler(event, context)
        line = json.dumps({"status": "ok", "result": result})
    except BaseException as error:
        trace = traceback.format_exc()
        print(trace, file=sys.stderr)
        return _failed(type(error).__name__, str(error), trace)
    if len(line) > MAX_REPLY_BYTES:
        message = f"Response payload size ({len(line)} bytes) exceeded maximum allowed payload size (6291556 bytes)."
        return _failed("Function.ResponseSizeTooLarge", message, "")
    return line


def _failed(kind: str, message: str, trace: str) -> str:
    error = {"errorType": kind, "errorMessage": message, "stackTrace": trace.splitlines()}
    return json.dumps({"status": "ok", "result": {FAILED: error}})


def main() -> None:
    out, sys.stdout = sys.stdout, sys.stderr

    def say(line: str) -> None:
        out.write(line + "\n")
        out.flush()

    pending = lines()
    init = json.loads(pending.get())
    os.environ.update(init.get("env", {}))
    try:
        handler = load(init)
    except Exception as error:
        traceback.print_exc()
        say(json.dumps({"status": "error", "error": f"{type(error).__name__}: {error}"}))
        return
    say(json.dumps({"status": "ready", "cold": True}))
    while True:
        message = json.loads(pending.get())
        call = message.get("ctx") or {}
        os.environ["_X_AMZN_TRACE_ID"] = call.get("trace_id") or ""
        reply = invoke(handler, message["event"], Context(init, call))
        print(END_OF_LOG, file=sys.stderr, flush=True)
        say(reply)


if __name__ == "__main__":
    main()
