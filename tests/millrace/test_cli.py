"""The `millrace` command against the real gateway on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from millrace.cli import dropping, following, training
from millrace.cli.app import app
from millrace.cli.client import Refused
from millrace.cli.where import find
from millrace.contract import JobState
from millrace.errors import InvalidInput, Unavailable
from typer.testing import CliRunner, Result

from tests.console import stage
from tests.loopback import Served, served

Run = Callable[..., Result]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(dropping, "POLL_S", 0.02)
    monkeypatch.setattr(training, "POLL_S", 0.02)
    monkeypatch.setattr(following, "POLL_S", 0.02)
    with served() as up:
        monkeypatch.setenv("MILLRACE_API", up.url)
        monkeypatch.setenv("MILLRACE_TENANT", "demo")
        yield up


@pytest.fixture
def run(api: Served) -> Run:
    def millrace(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(words), input=stdin, catch_exceptions=False)

    return millrace


def test_the_rewrite_alone_goes_to_stdout(run: Run, api: Served) -> None:
    said = run("humanize", "Moreover, we utilize 3 servers.")

    answer = api.corpus.page(api.tenant, 1, None)[0][0]
    assert (said.exit_code, said.stdout, said.stderr) == (0, f"{answer.target}\n", "")


def test_a_long_text_is_followed_to_its_end(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n\n".join(f"Moreover, it is important to note that we utilize {n} servers in Berlin." for n in range(400))
    (tmp_path / "long.txt").write_text(text)

    said = run("humanize", "--file", str(tmp_path / "long.txt"), "--model", "rules")
    told = json.loads(run("humanize", "--file", str(tmp_path / "long.txt"), "--model", "rules", "--json").stdout)

    assert said.exit_code == 0 and "paragraphs, as job rw" in said.stderr
    assert said.stdout == told["text"] + "\n" and "399 servers" in said.stdout and "Moreover" not in said.stdout


def test_a_large_result_is_fetched_by_its_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = {"id": "rw1", "state": "completed", "progress": {"step": 1, "steps": 1}, "result": None}

    with pytest.raises(Unavailable, match="not one that can be followed"):
        following.followed(None, job | {"result_url": f"file://{tmp_path}"})  # type: ignore[arg-type]
    with pytest.raises(Refused, match="It broke off"):
        following.followed(None, job | {"state": "failed", "error": "It broke off."})  # type: ignore[arg-type]
    with pytest.raises(following.Failed, match="cancelled"):
        following.followed(None, job | {"state": "cancelled"})  # type: ignore[arg-type]


def test_a_text_comes_from_stdin_or_a_file_and_json_is_the_whole_answer(run: Run, tmp_path: Path) -> None:
    text = "Moreover, we utilize 3 servers."
    (tmp_path / "text.txt").write_text(text)

    piped = json.loads(run("humanize", "-", "--json", stdin=text).stdout)
    read = json.loads(run("humanize", "--file", str(tmp_path / "text.txt"), "--model", "rules", "--json").stdout)

    assert piped["text"] == read["text"]
    assert {"decision_id", "scores", "reasons", "usage", "violations"} <= set(read)


def test_a_problem_is_its_sentence_on_stderr_and_exit_1(run: Run) -> None:
    said = run("humanize", "A text.", "--model", "nobody")

    assert said.exit_code == 1
    assert said.stdout == ""
    assert said.stderr.strip() == "There is no model 'nobody'; auto, rules can be asked for."


def test_an_unfaithful_rewrite_names_what_it_lost(run: Run, api: Served) -> None:
    stage.answering(api, "writer@1", "We use 30 servers.")

    said = run("humanize", "Moreover, we utilize 3 servers.", "--model", "writer@1")

    assert said.exit_code == 1
    assert "number: 3" in said.stderr
    assert "its rewrite did not keep: number." in said.stderr


def collecting(api: Served, files: int) -> threading.Thread:
    """What the event does: collect each object as soon as it lies there."""

    def work() -> None:
        s3, done = boto3.client("s3"), set[str]()
        while len(done) < files:
            for found in s3.list_object_versions(Bucket=api.settings.drop_bucket).get("Versions", []):
                if found["VersionId"] not in done:
                    api.collect(found["Key"], found["VersionId"])
                    done.add(found["VersionId"])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_dropped_files_are_uploaded_awaited_and_reported(run: Run, api: Served, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(stage.PAIRS + "Moreover nothing,\n")
    (tmp_path / "again.csv").write_text(stage.PAIRS)
    worker = collecting(api, files=2)

    said = run("drop", str(tmp_path / "good.csv"), str(tmp_path / "again.csv"), "--json")
    worker.join(10)

    assert said.exit_code == 0
    counts = [[report[name] for name in ("accepted", "duplicate", "rejected")] for report in json.loads(said.stdout)]
    assert counts == [[12, 0, 1], [0, 12, 0]]


def test_a_refused_drop_says_why_by_line_and_exits_1(run: Run, api: Served, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("a,b\nx,y\n")
    worker = collecting(api, files=1)

    said = run("drop", str(tmp_path / "odd.csv"))
    worker.join(10)

    assert said.exit_code == 1
    assert re.search(r"refused +drop/demo/odd.csv +0 +0 +2", said.stdout)
    assert "odd.csv:1  no source column" in said.stdout


def test_a_missing_file_or_tenant_is_said_before_anything_is_sent(
    run: Run, api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.csv").write_text(stage.PAIRS)
    missing = run("drop", str(tmp_path / "none.csv"))
    monkeypatch.delenv("MILLRACE_TENANT")
    nobody = run("drop", str(tmp_path / "good.csv"))

    assert missing.exit_code == nobody.exit_code == 1
    assert "There is no file" in missing.stderr
    assert "Name the tenant with --tenant" in nobody.stderr
    assert api.requests == []


def test_a_report_that_does_not_come_is_not_awaited_for_ever(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(stage.PAIRS)

    said = run("drop", str(tmp_path / "good.csv"), "--timeout-s", "1")

    assert said.exit_code == 1
    assert "has no report after 1 s" in said.stderr


def test_jobs_are_listed_and_shown_with_what_the_gate_found(run: Run, api: Served) -> None:
    stage.refused(api, "jone")
    stage.running(api, "jtwo")

    listed, shown = run("jobs", "list"), run("jobs", "show", "jone")

    assert "training, step 34 of 120, loss 0.412, about 41 s left" in listed.stdout
    assert "gate adapter: refused" in shown.stdout
    assert stage.REFUSED["text"] in shown.stdout
    assert [job["id"] for job in json.loads(run("jobs", "list", "--json").stdout)["items"]] == ["jtwo", "jone"]


def test_watching_follows_a_job_to_its_end(run: Run, api: Served) -> None:
    stage.running(api, "jone")
    moves = iter(
        [
            lambda: stage.step(api, "jone", step=90),
            lambda: api.jobs.move(api.tenant, "jone", JobState.FAILED, 1, {"error": "The container exited with 1."}),
        ]
    )
    act_on_each_look(api, moves)

    said = run("jobs", "watch", "jone", "--json")

    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert [(line["state"], line["progress"].get("step")) for line in lines] == [
        ("running", 34),
        ("running", 90),
        ("failed", 90),
    ]
    assert said.exit_code == 1
    assert said.stderr.strip() == "The container exited with 1."


def act_on_each_look(api: Served, moves: Iterator[Callable[[], Any]]) -> None:
    """After each request for the job, the next thing happens to it."""

    class Looks(list[Any]):
        def append(self, request: Any) -> None:
            if self and (move := next(moves, None)):
                move()
            super().append(request)

    api.requests = Looks()


def test_a_job_is_started_with_settings_and_cancelled(run: Run, api: Served) -> None:
    rows = "".join(f"Moreover text number {n},Text number {n}\n" for n in range(80))
    api.drop("pairs.csv", ("prompt,completion\n" + rows).encode())

    started = json.loads(run("jobs", "start", "--name", "writer", "--set", "seed=7", "--json").stdout)
    cancelled = run("jobs", "cancel", started["id"])

    assert (started["model_name"], started["hyperparameters"]["seed"]) == ("writer", 7)
    assert "Cancelled by request." in cancelled.stdout
    assert api.jobs.get(api.tenant, started["id"]).state is JobState.CANCELLED


def test_models_are_listed_and_shown_with_lineage(run: Run, api: Served) -> None:
    model_id = stage.active_model(api, "jone")

    assert re.search(rf"active +{model_id} +lora-sft +0.708 +0.938", run("models", "list").stdout)
    shown = run("models", "show", model_id).stdout
    assert re.search(r"job_id +jone", shown)
    assert re.search(r"parity_passed +1", shown)


def test_status_tells_where_things_are(run: Run, api: Served) -> None:
    said = run("status")

    assert said.exit_code == 0
    assert f"ok {api.url}" in said.stdout
    assert api.settings.drop_bucket in said.stdout


def test_markup_in_what_the_server_says_is_only_text(run: Run, api: Served) -> None:
    stage.job(api, "jone", name="[red]x[/]")

    assert "[red]x[/]" in run("jobs", "list").stdout


def test_an_unknown_key_and_an_absent_api_are_sentences(run: Run) -> None:
    wrong = run("models", "list", "--key", "mr_wrong")
    absent = run("models", "list", "--api", "http://127.0.0.1:9")

    assert "does not know this key" in wrong.stderr
    assert "The API at http://127.0.0.1:9 does not answer" in absent.stderr
    assert wrong.exit_code == absent.exit_code == 1


def test_the_twin_is_found_from_any_folder_below_it_and_its_key_goes_to_it_alone(tmp_path: Path) -> None:
    record = {
        "api_url": "http://127.0.0.1:8080",
        "aws_endpoint": "http://127.0.0.1:4566",
        "region": "r",
        "demo_key": "mr_k",
    }
    (tmp_path / ".millrace").mkdir()
    (tmp_path / ".millrace/twin.json").write_text(json.dumps(record))
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    twin = find(env={}, start=below)
    other = find(api="https://example.org/", env={}, start=below)

    assert (twin.api, twin.key, twin.tenant, twin.aws_endpoint) == (
        record["api_url"],
        "mr_k",
        "demo",
        record["aws_endpoint"],
    )
    assert (other.api, other.key, other.tenant, other.aws_endpoint) == ("https://example.org", None, None, None)


@pytest.mark.parametrize("env", [{}, {"MILLRACE_API": "file:///etc/passwd"}])
def test_no_api_or_an_address_that_is_none_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        find(env=env, start=tmp_path)
