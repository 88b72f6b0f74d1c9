"""The embedded AWS as a subprocess: ministack in its own environment, one port of loopback, its state in a folder."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from .settings import REPO, Twin, clean_env

START_S = 60.0
STOP_S = 6.0


class EngineFailed(Exception):
    """The engine did not come up; the sentence names its log."""


@dataclass
class Engine:
    """A running embedded AWS."""

    twin: Twin
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, twin: Twin, sagemaker_port: int) -> Engine:
        """Returns when it answers. It ends with this process, however this one ends."""
        twin.state.mkdir(parents=True, exist_ok=True)
        twin.logs.mkdir(parents=True, exist_ok=True)
        temporary = twin.state / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        env = clean_env(
            TMPDIR=str(temporary),
            PYTHONPATH=str(REPO),
            GATEWAY_PORT=str(twin.aws_port),
            STATE_DIR=str(twin.state / "aws"),
            S3_DATA_DIR=str(twin.state / "s3"),
            MINISTACK_REGION=twin.region,
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",  # noqa: S106 - the embedded AWS's fixed key
            MILLRACE_SAGEMAKER_PORT=str(sagemaker_port),
            MILLRACE_SAVE_S=str(twin.save_s),
            MILLRACE_PARENT=str(os.getpid()),
        )
        with (twin.logs / "engine.log").open("ab") as log:
            process = subprocess.Popen(
                [str(twin.engine_python), "-m", "cdk.local.embedded"],
                env=env,
                cwd=twin.state,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        engine = cls(twin, process)
        engine._await()
        return engine

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """State is saved as it changes, so what does not end in time is killed."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _await(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.alive():
            if healthy(self.twin.aws_port):
                return
            time.sleep(0.05)
        self.kill()
        raise EngineFailed(f"The embedded AWS did not start; {self.twin.logs / 'engine.log'} says why.")


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def save_now(port: int) -> None:
    """What has changed in the embedded AWS is on disk when this returns."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", "/_twin/save")
        connection.getresponse().read()
