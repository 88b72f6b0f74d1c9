"""The commands: what stands in the way is said first; up, status and down."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cdk import stage
from cdk.local import __main__ as commands
from cdk.local.aws import client
from cdk.local.settings import REPO, Twin, WrongSetting

from .conftest import a_twin, alive, until


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    twin = a_twin(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", twin.aws_port))
        taken.listen()

        with pytest.raises(commands.CannotStart, match=rf"^Port {twin.aws_port} is taken .* set MILLRACE_AWS_PORT"):
            commands.preconditions(twin)


def test_little_disk_a_missing_node_and_a_missing_engine_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = a_twin(tmp_path / "home")
    with pytest.raises(commands.CannotStart, match="make setup"):
        commands.preconditions(replace(twin, engine_python=tmp_path / "none"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(commands.CannotStart, match=r"Node\.js"):
        commands.preconditions(twin)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1024**3))
    with pytest.raises(commands.CannotStart, match=r"GB of disk are needed .* and 1\.0 GB are free"):
        commands.preconditions(twin)


def test_a_twin_whose_jobs_run_in_images_does_not_start_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = replace(a_twin(tmp_path / "home"), executor="docker")
    monkeypatch.setenv("MILLRACE_ENGINE", shutil.which("false") or "false")
    with pytest.raises(commands.CannotStart, match=r"MILLRACE_EXECUTOR is docker\. .*millrace-lora.*`make images`"):
        commands.preconditions(twin)

    monkeypatch.setenv("MILLRACE_ENGINE", shutil.which("true") or "true")
    commands.preconditions(twin)


def test_the_settings_of_a_twin_travel_to_its_process(tmp_path: Path) -> None:
    twin = a_twin(tmp_path / "home")

    assert Twin.from_env(twin.to_env()) == twin


def test_up_status_down_and_up_again(
    tmp_path: Path, assemblies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = a_twin(tmp_path / "home")
    ready = f"import shutil; shutil.copytree({str(assemblies['small'])!r}, {str(twin.assembly)!r}, dirs_exist_ok=True)"
    monkeypatch.setattr(
        commands,
        "_synthesize",
        lambda _: twin.logs.mkdir(exist_ok=True) or subprocess.Popen([sys.executable, "-c", ready]),
    )
    monkeypatch.setenv("GROQ_API_KEY", "gsk-test")
    try:
        first = commands.up(twin)
        again = commands.up(twin)

        assert first == again and json.loads(twin.record.read_text()) == first
        assert oct(twin.record.stat().st_mode & 0o777) == "0o600"
        secret = client(twin, "secretsmanager").get_secret_value(SecretId="small/providers")["SecretString"]
        assert json.loads(secret) == {"GROQ_API_KEY": "gsk-test"}
        client(twin, "s3").put_object(Bucket=first["outputs"]["TheBucket"], Key="kept", Body=b"x")
        assert commands.status(twin)["running"]

        began = time.monotonic()
        assert commands.down(twin) and time.monotonic() - began < 8
        assert not commands.status(twin)["running"] and not commands.down(twin)
        until(lambda: not alive(first["pids"]["twin"]), "the end of the twin")

        third = commands.up(twin)
        assert (third["outputs"], third["demo_key"]) == (first["outputs"], first["demo_key"])
        kept = client(twin, "s3").get_object(Bucket=third["outputs"]["TheBucket"], Key="kept")
        assert kept["Body"].read() == b"x"
    finally:
        commands.down(twin)


def test_the_command_line_says_one_sentence_and_fails(tmp_path: Path) -> None:
    env = {**os.environ, "MILLRACE_HOME": str(tmp_path), "PYTHONPATH": f"{REPO}:{REPO / 'shared'}"}
    command = [sys.executable, "-m", "cdk.local", "up"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env["MILLRACE_API_PORT"] = str(taken.getsockname()[1])

        done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True)

    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.strip() == (
        f"Port {env['MILLRACE_API_PORT']} is taken by another program: stop it, or set MILLRACE_API_PORT to a free one."
    )


def _command(tmp_path: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MILLRACE_HOME": str(tmp_path), "PYTHONPATH": f"{REPO}:{REPO / 'shared'}", **settings}
    return subprocess.run([sys.executable, *command], cwd=REPO, env=env, capture_output=True, text=True)


PORT = "MILLRACE_API_PORT is a port from 1 to 65535, not '{}'."


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "8080.0", ""])
def test_what_is_no_port_is_said(text: str) -> None:
    with pytest.raises(WrongSetting) as wrong:
        Twin.from_env({"MILLRACE_API_PORT": text})
    assert str(wrong.value) == PORT.format(text)


def test_a_wrong_number_is_said_with_its_name() -> None:
    with pytest.raises(WrongSetting, match=r"^MILLRACE_SLOTS is a whole number, not 'two'\.$"):
        Twin.from_env({"MILLRACE_SLOTS": "two"})
    with pytest.raises(WrongSetting, match=r"^MILLRACE_SAVE_S is a number, not 'soon'\.$"):
        Twin.from_env({"MILLRACE_SAVE_S": "soon"})


@pytest.mark.parametrize("command", [("cdk/local/preflight.py", "twin"), ("-m", "cdk.local", "up")])
def test_a_wrong_port_is_one_sentence_on_the_command_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = _command(tmp_path, *command, MILLRACE_API_PORT="abc")

    assert (done.returncode, done.stdout, done.stderr) == (1, "", PORT.format("abc") + "\n")


def test_a_setting_that_the_stack_cannot_have_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = a_twin(tmp_path / "home")
    monkeypatch.setenv("MILLRACE_TRAIN_THRESHOLD", "many")
    says = r"^MILLRACE_TRAIN_THRESHOLD is a number of pairs, 0 for never, not 'many'\.$"

    with pytest.raises(commands.CannotStart, match=says):
        commands.up(twin)
    assert not twin.logs.exists()

    monkeypatch.setattr(commands.process, "running", lambda _: os.getpid())
    with pytest.raises(commands.CannotStart, match=says):
        commands.up(twin)
    assert not twin.logs.exists()


def test_another_threshold_is_another_assembly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "INPUTS", ("cdk.json",))
    monkeypatch.delenv("MILLRACE_TRAIN_THRESHOLD", raising=False)
    usual = commands._inputs_hash()
    monkeypatch.setenv("MILLRACE_TRAIN_THRESHOLD", "20")
    lower = commands._inputs_hash()
    monkeypatch.setenv("MILLRACE_TRAIN_THRESHOLD", "30")

    assert len({usual, lower, commands._inputs_hash()}) == 3
    assert {name.removeprefix("MILLRACE_").lower() for name in commands.SETTINGS} == set(stage._SETTABLE)


def test_a_twin_that_was_started_for_a_stack_that_fails_is_stopped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = a_twin(tmp_path / "home")
    twin.logs.mkdir()
    started: list[int | None] = []
    start = commands._start
    monkeypatch.setattr(
        commands, "_synthesize", lambda _: subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    )
    monkeypatch.setattr(commands, "_start", lambda t: start(t) or started.append(commands.process.running(t)))
    try:
        with pytest.raises(commands.CannotStart, match=r"could not be synthesized; .*synth\.log says why"):
            commands.up(twin)

        (pid,) = started
        assert pid is not None and not alive(pid) and commands.process.running(twin) is None
    finally:
        commands.down(twin)


def test_a_failing_stack_leaves_a_twin_that_ran_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[Twin] = []
    monkeypatch.setattr(commands.process, "running", lambda _: os.getpid())
    monkeypatch.setattr(commands, "down", stopped.append)
    monkeypatch.setattr(
        commands, "_synthesize", lambda _: subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    )

    with pytest.raises(commands.CannotStart, match="could not be synthesized"):
        commands.up(a_twin(tmp_path / "home"))
    assert stopped == []


RECORD = {
    "api_url": "http://127.0.0.1:8080",
    "aws_endpoint": "http://127.0.0.1:4566",
    "region": "us-east-1",
    "demo_key": "mr_x",
    "outputs": {"DropBucket": "drops", "DropPrefix": "drop/", "TableName": "t", "TrainMachineArn": "arn"},
}


@pytest.mark.parametrize("record", [{}, {"api_url": "http://127.0.0.1:8080"}, {**RECORD, "outputs": {}}])
def test_what_is_not_known_yet_is_left_out(record: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    commands._say(record)

    told = capsys.readouterr().out
    assert "None" not in told and ("OpenAPI" in told) == bool(record) and "s3 cp" not in told


def test_a_line_to_drop_a_file_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    commands._say(RECORD)

    assert (
        "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 "
        "aws --endpoint-url http://127.0.0.1:4566 s3 cp docs/examples/pairs.csv s3://drops/drop/demo/"
    ) in capsys.readouterr().out.splitlines()


def test_the_sweeper_is_asked_at_once_and_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    code = "ResourceNotFoundException"

    def invoke(**request: Any) -> None:
        asked.append(request)
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Invoke")

    monkeypatch.setattr(commands, "client", lambda *_: SimpleNamespace(invoke=invoke))
    commands._sweep(a_twin(tmp_path / "home"))
    assert [(r["FunctionName"], r["InvocationType"]) for r in asked] == [("millrace-local-monitor", "Event")]

    code = "ServiceException"
    with pytest.raises(ClientError):
        commands._sweep(a_twin(tmp_path / "other"))
