"""Every way in which a container can end, as a process and in an image: a checked result, or a sentence, no orphan."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from millrace.errors import Corrupt, InvalidInput, MillraceError, TrainingFailed, Unavailable
from millrace.executors import EXECUTORS, Executor, Needs, Run, executor
from millrace.executors.docker import Engine, found
from millrace.executors.launch import Launch, launch
from millrace.executors.process import Processes

from .conftest import IMAGES, gone

Wanted = Callable[..., Launch]

ENGINE = f"""#!{sys.executable}
# An engine of containers as far as its command line goes: what it is told, it writes down and does without an image.
import json, os, pathlib, signal, subprocess, sys
home = pathlib.Path(os.environ["CONTAINER_TEST_HOME"])
with (home / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
verb, rest = sys.argv[1], sys.argv[2:]
if verb == "run":
    value = lambda name: rest[rest.index(name) + 1]
    root = value("--volume").rsplit(":", 1)[0]
    env = {{"PATH": os.environ["PATH"], "PYTHONPATH": {str(IMAGES.parent)!r}}}
    command = [sys.executable, "-m", "fake_images.common.main", "lora", "train", "--root", root]
    process = subprocess.Popen(command, env=env, start_new_session=True)
    (home / value("--name")).write_text(str(process.pid))
    code = process.wait()
    sys.exit(code if code >= 0 else 128 - code)
if verb in ("stop", "rm"):
    for name in rest:
        if (home / name).is_file():
            try:
                os.killpg(int((home / name).read_text()), signal.SIGKILL)
            except ProcessLookupError:
                pass
if verb == "image":
    sys.exit(rest[-1] != "localhost/millrace-lora:latest")
if verb == "ps":
    print("left-1\\nleft-2")
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    script = tmp_path / "engine"
    script.write_text(ENGINE)
    script.chmod(0o755)
    monkeypatch.setenv("CONTAINER_TEST_HOME", str(tmp_path))
    return Engine([str(script)], label="MILLRACE=test")


def calls(tmp_path: Path) -> list[list[str]]:
    return [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]


@pytest.fixture(params=["process", "docker"])
def any_executor(request: pytest.FixtureRequest) -> Executor:
    made: Executor = Processes(IMAGES) if request.param == "process" else request.getfixturevalue("engine")
    return made


def test_a_good_container_gives_its_manifest_and_its_lines(any_executor: Executor, wanted: Wanted) -> None:
    said: list[str] = []

    manifest = launch(any_executor, wanted("complete"), said.append)

    assert manifest.metrics == {"loss": 0.5} and [file.path for file in manifest.files] == ["weights.bin"]
    assert json.loads(said[0])["step"] == 1


@pytest.mark.parametrize(
    ("deed", "kind", "sentence"),
    [
        ("memory", TrainingFailed, r"^16 rows of 512 tokens need more than this machine has\.$"),
        ("disk", TrainingFailed, r"^No space left on device; ask for a larger volume\.$"),
        ("kill", TrainingFailed, r"^The container was killed, as happens when its machine runs out of memory\.$"),
        ("nothing", TrainingFailed, r"^The container ended without a manifest\.json\.$"),
        ("garbage", Corrupt, "manifest.json is not one"),
        ("complete hash", Corrupt, "gives weights.bin a SHA-256 that it has not"),
        ("complete missing", Corrupt, "lists gone.bin, which is not there"),
        ("complete outside", Corrupt, "lists ../input/config/hyperparameters.json, which is not there"),
    ],
)
def test_a_bad_container_ends_with_a_sentence_that_a_person_understands(
    any_executor: Executor, wanted: Wanted, deed: str, kind: type[MillraceError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        launch(any_executor, wanted(deed), lambda line: None)


def _pids(said: list[str]) -> list[int]:
    return [int(word) for line in said if line.startswith("pids") for word in line.split()[1:]]


def test_one_that_hangs_is_stopped_at_its_limit_with_all_that_it_started(
    any_executor: Executor, wanted: Wanted
) -> None:
    said: list[str] = []

    with pytest.raises(TrainingFailed, match="it ran for longer than 2 s"):
        launch(any_executor, wanted("hang", max_runtime_s=2), said.append)

    assert len(_pids(said)) == 2 and gone(_pids(said))


def test_a_person_who_interrupts_leaves_nothing_running(any_executor: Executor, wanted: Wanted) -> None:
    running: list[Any] = []

    class Interrupted:
        def start(self, run: Run) -> Any:
            started = any_executor.start(run)
            running.append(started)
            lines = started.lines()
            self.pids = _pids([next(lines)])
            started.lines = lambda: lines  # type: ignore[method-assign]

            def interrupted(timeout_s: float | None = None) -> int | None:
                raise KeyboardInterrupt

            started.wait = interrupted  # type: ignore[method-assign]
            return started

    one = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        launch(one, wanted("hang"), lambda line: None)

    assert len(one.pids) == 2 and gone(one.pids)


def test_no_key_of_this_shell_reaches_a_container(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "MILLRACE_TABLE"):
        monkeypatch.setenv(name, "leak")
    said: list[str] = []

    launch(Processes(IMAGES), wanted("environment"), said.append)

    assert "leak" not in "".join(said)


def test_an_image_has_no_network_no_rights_and_one_folder(engine: Engine, wanted: Wanted, tmp_path: Path) -> None:
    run = wanted("complete", memory_gb=0.5, cpus=1).prepare()

    told = engine.arguments(Run(**{**vars(run), "isolated": True}), "localhost/millrace-lora:latest")

    pairs = list(pairwise(told))
    for pair in (
        ("--network", "none"),
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--memory", "0.5g"),
        ("--cpus", "1"),
        ("--user", f"{os.getuid()}:{os.getgid()}"),
        ("--volume", f"{run.root.resolve()}:/opt/ml"),
        ("localhost/millrace-lora:latest", "train"),
    ):
        assert pair in pairs, pair
    assert "--read-only" in told and "--rm" in told and told.count("--volume") == 1 and "--privileged" not in told


def test_leftovers_of_an_earlier_life_are_removed_by_their_label(engine: Engine, tmp_path: Path) -> None:
    assert engine.sweep() == 2
    listed, *removed = calls(tmp_path)
    assert "label=MILLRACE=test" in listed and [call[-1] for call in removed] == ["left-1", "left-2"]
    assert all(call[:2] == ["rm", "--force"] for call in removed)


def test_an_image_that_is_not_built_is_named_with_what_builds_it(engine: Engine, tmp_path: Path) -> None:
    assert engine.obstacle(["lora"]) is None
    said = engine.obstacle(["lora", "gguf"])
    assert said is not None and said.endswith("has no image localhost/millrace-gguf:latest: `make images` builds them.")


def test_without_an_engine_it_is_said(wanted: Wanted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MILLRACE_ENGINE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="No engine answers: install docker or podman"):
        Engine().start(wanted("complete").prepare())
    assert "No engine answers" in str(Engine().obstacle(["lora"]))
    assert found({"MILLRACE_ENGINE": "podman --log-level error"}) == ["podman", "--log-level", "error"]


@pytest.mark.parametrize(
    ("needs", "says"),
    [({"memory_gb": 1e6}, "GB of memory"), ({"disk_gb": 10**7}, "GB of disk"), ({"cpus": 4096}, "processors")],
)
def test_needs_that_this_machine_has_not_are_refused_with_both_figures(
    wanted: Wanted, needs: dict[str, float], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        launch(Processes(IMAGES), wanted("complete", **needs), lambda line: None)


def test_a_folder_with_a_result_or_a_channel_that_there_is_not_is_refused(wanted: Wanted, tmp_path: Path) -> None:
    launch(Processes(IMAGES), wanted("complete"), lambda line: None)
    with pytest.raises(InvalidInput, match="holds a result already"):
        wanted("complete").prepare()
    odd = wanted("complete", out=tmp_path / "other")
    with pytest.raises(InvalidInput, match="Not a channel: pictures"):
        Launch(**{**vars(odd), "channels": {"pictures": tmp_path}}).prepare()
    with pytest.raises(InvalidInput, match="Not there"):
        Launch(**{**vars(odd), "channels": {"train": tmp_path / "gone"}}).prepare()


def test_every_executor_can_be_asked_for_by_name(tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {
        "kubernetes": {"claim": "c", "mount": tmp_path},
        "sagemaker": {"role": "r", "place": "s3://b/p", "sagemaker": None, "s3": None, "logs": None},
    }
    for name in EXECUTORS:
        assert hasattr(executor(name, **settings.get(name, {})), "start")
    with pytest.raises(InvalidInput, match="no executor 'cloud'; there are process, docker, kubernetes, sagemaker"):
        executor("cloud")


def test_a_strategys_resources_are_what_a_run_needs() -> None:
    from millrace.strategies import strategies

    for strategy in strategies().values():
        needs = Needs.of(strategy.resources)
        assert needs.max_runtime_s > 0 and needs.instance_type.startswith("ml.")
