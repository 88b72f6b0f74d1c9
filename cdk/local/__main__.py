"""`python -m cdk.local up|down|status|demo`: the twin's life."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from millrace.executors.docker import Engine

from . import demo, preflight, seeds
from . import twin as process
from .aws import client
from .deploy import Assembly, DeployFailed, deploy
from .settings import REPO, Twin, WrongSetting, python

INPUTS = (
    "cdk/*.py",
    "cdk.json",
    "pyproject.toml",
    "requirements/*",
    "functions/**/*",
    "shared/**/*",
    "training_containers/**/*",
)
SETTINGS = (
    "MILLRACE_TRAIN_THRESHOLD",
    "MILLRACE_BASE_MODEL",
    "MILLRACE_INSTANCE_TYPE",
    "MILLRACE_PROVIDER_URLS",
    "MILLRACE_EGRESS_ALLOW",
)
"""What the synthesis reads from this shell."""
TRAINERS = ("lora", "gguf", "cnn_search")
"""Containers that training jobs run in; endpoints are processes."""
SWEEPER = "millrace-local-monitor"
START_S = 90.0
STOP_S = 20.0


class CannotStart(Exception):
    """What stands in the way, in one sentence."""


def preconditions(twin: Twin) -> None:
    """Said before any work."""
    found = preflight.obstacles("twin", {**os.environ, **twin.to_env()})
    found += _wrong_settings()
    if twin.executor == "docker" and (unready := Engine().obstacle(TRAINERS)):
        found.append(f"MILLRACE_EXECUTOR is docker. {unready}")
    if not twin.engine_python.exists():
        found.append(f"The embedded AWS is not installed at {twin.engine_python}; `make setup` does that.")
    if found:
        raise CannotStart(" ".join(found))
    twin.home.mkdir(parents=True, exist_ok=True)


def _wrong_settings() -> list[str]:
    """What the synthesis would stumble over. The CDK loads for seconds: only where there is something to ask it."""
    if not any(name in os.environ for name in SETTINGS):
        return []
    from cdk import stage

    try:
        stage.stage("local", os.environ)
    except stage.WrongSetting as error:
        return [str(error)]
    return []


def up(twin: Twin) -> dict[str, Any]:
    """Start what is not running, deploy what is not deployed; addresses, key and outputs.

    Where it fails, it stops what it has started; a twin that ran before goes on.
    """
    if process.running(twin) is not None:
        if wrong := _wrong_settings():
            raise CannotStart(" ".join(wrong))
        return _deployed(twin, _synthesize(twin))
    preconditions(twin)
    synthesis = _synthesize(twin)
    try:
        _start(twin)
        return _deployed(twin, synthesis)
    except BaseException:
        synthesis.kill()
        down(twin)
        raise


def _deployed(twin: Twin, synthesis: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The record of the stack, once it stands on the running twin and answers."""
    if synthesis.wait() != 0:
        raise CannotStart(f"The stack could not be synthesized; {twin.logs / 'synth.log'} says why.")
    outputs = deploy(twin, Assembly(twin.assembly))
    record = _record(twin, outputs, seeds.sow(twin, outputs))
    part = twin.record.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1))
    part.chmod(0o600)
    os.replace(part, twin.record)
    if pid := process.running(twin):
        os.kill(pid, signal.SIGHUP)
    _await_api(twin)
    _sweep(twin)
    return record


def _record(twin: Twin, outputs: dict[str, str], demo_key: str) -> dict[str, Any]:
    return {
        "api_url": twin.api_url,
        "aws_endpoint": twin.aws_endpoint,
        "region": twin.region,
        "account": "000000000000",
        "demo_key": demo_key,
        "outputs": outputs,
        "pids": {"twin": process.running(twin)},
    }


def _sweep(twin: Twin) -> None:
    """An interrupted job goes on at once and not with the next minute; a stack without the sweeper has no jobs."""
    try:
        client(twin, "lambda").invoke(FunctionName=SWEEPER, InvocationType="Event", Payload=b"{}")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


def _await_api(twin: Twin) -> None:
    """The first answer of the gateway: its function is warm for the first person too."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", twin.api_port, timeout=40)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            if connection.getresponse().status != 503:
                return
        time.sleep(0.1)
    raise CannotStart(f"The API does not answer at {twin.api_url}; {twin.logs} says why.")


def _inputs_hash() -> str:
    """Of everything that the assembly is made from: what has not changed is not synthesized again."""
    digest = hashlib.sha256(repr([os.environ.get(name) for name in SETTINGS]).encode())
    for pattern in INPUTS:
        for path in sorted(p for p in REPO.glob(pattern) if p.is_file() and "__pycache__" not in p.parts):
            digest.update(path.relative_to(REPO).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _synthesize(twin: Twin) -> subprocess.Popen[bytes]:
    """In a process of its own: Node's kernel is heavy and not needed afterwards."""
    twin.logs.mkdir(parents=True, exist_ok=True)
    made, wanted = twin.assembly / "inputs.sha256", _inputs_hash()
    if made.is_file() and made.read_text() == wanted:
        return subprocess.Popen([python(), "-c", ""])
    code = (
        "import sys, pathlib; from cdk.app import synth; made = pathlib.Path(sys.argv[1]);"
        "synth('local', made); (made / 'inputs.sha256').write_text(sys.argv[2])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "shared")])}
    env["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "1"
    shutil.rmtree(twin.assembly, ignore_errors=True)
    with (twin.logs / "synth.log").open("wb") as log:
        return subprocess.Popen(
            [python(), "-c", code, str(twin.assembly), wanted], cwd=REPO, env=env, stdout=log, stderr=log
        )


def _start(twin: Twin) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | twin.to_env()
    env["PYTHONPATH"] = os.pathsep.join([str(REPO), str(REPO / "shared")])
    with (twin.logs / "twin.log").open("ab") as log:
        started = subprocess.Popen(
            [python(), "-m", "cdk.local", "serve"],
            cwd=REPO,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and started.poll() is None:
        if process.ready_file(twin).exists() and process.running(twin) == started.pid:
            return
        time.sleep(0.1)
    raise CannotStart(f"The twin did not start; {twin.logs / 'twin.log'} says why.")


def down(twin: Twin) -> bool:
    """Stop everything, a training too; what it held is there after the next `up`. False when nothing ran."""
    pid = process.running(twin)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    return True


def status(twin: Twin) -> dict[str, Any]:
    return {"running": process.running(twin) is not None, **process.read_record(twin)}


TOLD = {
    "API": "{api_url}",
    "first page": "{api_url}/",
    "OpenAPI": "{api_url}/openapi.json",
    "AWS endpoint": "{aws_endpoint} (region {region}, any access key)",
    "key of tenant demo": "{demo_key}",
    "drop folder": "s3://{DropBucket}/{DropPrefix}demo/",
    "table": "{TableName}",
    "state machine": "{TrainMachineArn}",
}
DROP = (
    "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={region} "
    "aws --endpoint-url {aws_endpoint} s3 cp docs/examples/pairs.csv s3://{DropBucket}/{DropPrefix}demo/"
)


def _say(record: dict[str, Any]) -> None:
    """What is known of the running twin; a line whose facts are not known yet is left out."""
    known = {**record, **record.get("outputs", {})}
    for name, text in TOLD.items():
        with contextlib.suppress(KeyError):
            print(f"{name:>20}  {text.format_map(known)}")
    with contextlib.suppress(KeyError):
        print(f"\nTo drop a file with the AWS command line:\n{DROP.format_map(known)}")


def _up(twin: Twin) -> int:
    _say(up(twin))
    return 0


def _down(twin: Twin) -> int:
    print("The twin is stopped." if down(twin) else "The twin was not running.")
    return 0


def _status(twin: Twin) -> int:
    found = status(twin)
    print("The twin is running." if found["running"] else "The twin is not running.")
    if found["running"]:
        _say(found)
    return 0 if found["running"] else 1


def _demo(twin: Twin) -> int:
    return demo.main(twin, lambda: up(twin))


def _serve(twin: Twin) -> int:
    process.serve(twin)
    return 0


COMMANDS: dict[str, Callable[[Twin], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "demo": _demo,
    "serve": _serve,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cdk.local", description=__doc__)
    parser.add_argument("command", choices=list(COMMANDS), help="serve: in the foreground, what `up` starts")
    try:
        sys.exit(COMMANDS[parser.parse_args().command](Twin.from_env()))
    except (CannotStart, DeployFailed, WrongSetting) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
