"""Functions that stream, run as the Lambda Web Adapter runs them: a web server, and requests passed on to it.

What streams is read from the deployed stack: the functions with a URL of mode RESPONSE_STREAM, their code, environment
and port. One process answers many requests at a time, where Lambda starts one for each.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .aws import client
from .embedded.functions import unpacked
from .ports import free_port
from .settings import ACCOUNT, Twin, clean_env

START_S = 30.0
STREAMS = "RESPONSE_STREAM"
_PR_SET_PDEATHSIG = 1


class NoStream(Exception):
    """Nothing of the stack streams, or it does not come up; the sentence says which."""


@dataclass(frozen=True)
class Function:
    """What the adapter needs to know of a deployed function."""

    name: str
    code: Path
    script: str
    """Its handler: what is started, below the code."""
    env: dict[str, str]
    timeout_s: float


def deployed(twin: Twin, name: str) -> Function:
    """The function of that name, as it stands in the embedded AWS. NoStream where its URL does not stream."""
    functions = client(twin, "lambda")
    try:
        mode = functions.get_function_url_config(FunctionName=name).get("InvokeMode")
        found = functions.get_function_configuration(FunctionName=name)
    except functions.exceptions.ResourceNotFoundException as error:
        raise NoStream(f"The stack has no address for {name}.") from error
    if mode != STREAMS:
        raise NoStream(f"{name} answers in one piece; its URL is of mode {mode}.")
    code = unpacked(twin.state / "streams", _archive(twin, name))
    return Function(name, code, found["Handler"], found["Environment"]["Variables"], float(found["Timeout"]))


def _archive(twin: Twin, name: str) -> bytes:
    """The zip that the stack's template gives the function."""
    stacks = client(twin, "cloudformation")
    for stack in stacks.list_stacks()["StackSummaries"]:
        if stack["StackStatus"].startswith("DELETE"):
            continue
        template = stacks.get_template(StackName=stack["StackName"])["TemplateBody"]
        for resource in _resources(template):
            if resource["Properties"].get("FunctionName") == name:
                where = resource["Properties"]["Code"]
                bucket = f"cdk-hnb659fds-assets-{ACCOUNT}-{twin.region}"
                body: bytes = client(twin, "s3").get_object(Bucket=bucket, Key=where["S3Key"])["Body"].read()
                return body
    raise NoStream(f"No stack holds the function {name}.")


def _resources(template: Any) -> list[dict[str, Any]]:
    import json

    loaded = json.loads(template) if isinstance(template, str) else template
    return [r for r in loaded["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]


@dataclass
class Server:
    """The process of one function, started when it is first asked and again when it has died."""

    twin: Twin
    function: Function
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def connection(self) -> http.client.HTTPConnection:
        """To a server that is up. NoStream where it does not come up."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self._start()
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.function.timeout_s)

    def stop(self) -> None:
        with self.lock:
            if self.process is not None:
                self.process.kill()
                self.process.wait()

    def _start(self) -> None:
        started = threading.Event()
        threading.Thread(target=self._keep, args=(started,), daemon=True, name="stream").start()
        started.wait(START_S)
        deadline = time.monotonic() + START_S
        path = self.function.env.get("AWS_LWA_READINESS_CHECK_PATH", "/")
        while self.process is not None and self.process.poll() is None and time.monotonic() < deadline:
            if _ready(self.port, path):
                return
            time.sleep(0.05)
        raise NoStream(f"{self.function.name} did not start; {self.log} says why.")

    @property
    def log(self) -> Path:
        return self.twin.logs / "stream.log"

    def _keep(self, started: threading.Event) -> None:
        """In a thread that lives as long as the process: the kernel's signal comes when the starting thread ends."""
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    ["sh", str(self.function.code / self.function.script)],
                    env=self._env(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=_die_with_the_twin,
                )
        finally:
            started.set()
        self.process.wait()

    def _env(self) -> dict[str, str]:
        runtime = {
            "LAMBDA_TASK_ROOT": str(self.function.code),
            "AWS_LAMBDA_FUNCTION_NAME": self.function.name,
            "AWS_ENDPOINT_URL": self.twin.aws_endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": self.twin.region,
            "AWS_REGION": self.twin.region,
        }
        env = clean_env(**runtime, **self.function.env)
        folder = Path(self.twin.engine_python).parent  # whose Python the other handlers run on
        return env | {"AWS_LWA_PORT": str(self.port), "PATH": f"{folder}:{env.get('PATH', '')}"}


def _ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return 100 <= connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False


def _die_with_the_twin() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Gone:
    """Watches a client's socket while an answer is written; `act` is called once when the client hangs up."""

    def __init__(self, sock: socket.socket, act: Callable[[], None]) -> None:
        self.sock, self.act = sock, act
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True, name="gone")

    def __enter__(self) -> Gone:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        import select

        while not self.over.is_set():
            ready, _, _ = select.select([self.sock], [], [], 0.1)
            if not ready:
                continue
            try:
                gone = not self.sock.recv(1, socket.MSG_PEEK)
            except OSError:
                gone = True
            if gone:
                self.act()
                return
            self.over.wait(0.1)  # the client's next request is waiting
