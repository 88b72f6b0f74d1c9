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

import pytest

from cdk.local import __main__ as commands
from cdk.local.aws import client
from cdk.local.settings import REPO, Twin

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
