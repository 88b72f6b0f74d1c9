"""The commands of `millrace jobs` that ask the API; `launch` stands in launching."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..contract import JobState
from . import launching, show
from .client import Client
from .options import Api, Json, Key, Limit, client_of, plainly, settings_of

POLL_S = 1.0

jobs = typer.Typer(
    no_args_is_help=True, help="Training jobs: list, forecast, start, show, watch, logs, cancel; launch one by hand."
)
jobs.command("launch")(launching.launch_one)

Strategy = Annotated[str, typer.Option(help="How to train; auto: the data decide.")]
Name = Annotated[str, typer.Option(help="The model's name; else humanizer, or classifier for images.")]
Dataset = Annotated[str | None, typer.Option("--dataset", help="Images to train on; else all usable pairs.")]
Base = Annotated[str | None, typer.Option("--base", help="What is fine-tuned, below base/; else the stage's own.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter: name=value.")]
Priority = Annotated[str, typer.Option(help="low, normal or high, among your own.")]
Instance = Annotated[str | None, typer.Option("--instance", help="Machine of the training.")]
Most = Annotated[float | None, typer.Option("--max-cost", help="Cap of the whole job, USD.")]
Spot = Annotated[bool, typer.Option("--spot", help="Cheaper machines that may be taken away.")]


@jobs.command("list")
@plainly
def list_jobs(
    limit: Limit = 20,
    state: Annotated[JobState | None, typer.Option(help="Only those of one state.")] = None,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Jobs, newest first."""
    page = client_of(api, key).get("training-jobs", limit=limit, state=state and str(state))
    if json:
        show.say_json(page)
        return
    rows = [
        (show.state(j["state"]), j["id"], escape(j["model_id"] or j["model_name"]), escape(_outcome(j)))
        for j in page["items"]
    ]
    show.table(("state", "job", "model", ""), rows)


@jobs.command("start")
@plainly
def start(
    strategy: Strategy = "auto",
    name: Name = "",
    dataset: Dataset = None,
    base: Base = None,
    set_: Set = None,
    priority: Priority = "normal",
    instance: Instance = None,
    max_cost: Most = None,
    spot: Spot = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until it has ended.")] = False,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Train on all usable pairs, or on a dataset of images."""
    client = client_of(api, key)
    body = _wanted(strategy, name, set_, priority, instance, max_cost, spot, dataset) | {"base_model": base}
    job = client.post("training-jobs", body=body, idempotency_key=str(uuid.uuid4()))
    if watch:
        _watch(client, job["id"], json)
    else:
        _show(job, json)


@jobs.command("forecast")
@plainly
def forecast(
    strategy: Strategy = "auto",
    dataset: Dataset = None,
    set_: Set = None,
    instance: Instance = None,
    max_cost: Most = None,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """What a training would cost; nothing is begun."""
    body = _wanted(strategy, "", set_, "normal", instance, max_cost, False, dataset)
    told = client_of(api, key).post("training-jobs", "forecast", body=body)
    if json:
        show.say_json(told)
        return
    show.out().print(
        f"about {told['expected_usd']:.2f} USD and {told['expected_s'] / 60:.0f} minutes, at most "
        f"{told['at_most_usd']:.2f} USD; this month {told['month_committed_usd']:.2f} of "
        f"{told['month_limit_usd']:.2f} USD are committed"
    )
    rows = [(part["strategy"], part["instance_type"], f"{part['expected_s'] / 60:.0f} min") for part in told["parts"]]
    show.table(("part", "machine", "about"), rows)


def _wanted(
    strategy: str,
    name: str,
    set_: list[str] | None,
    priority: str,
    instance: str | None,
    max_cost: float | None,
    spot: bool,
    dataset: str | None,
) -> dict[str, Any]:
    body = {"strategy": strategy, "model_name": name, "hyperparameters": settings_of(set_), "priority": priority}
    return body | {"instance_type": instance, "max_cost_usd": max_cost, "spot": spot, "dataset_id": dataset}


@jobs.command("logs")
@plainly
def logs(
    id: str,
    attempt: Annotated[int | None, typer.Option(help="Of which attempt; else the newest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """What the containers said. With --json, a line for each line."""
    client = client_of(api, key)
    chosen = attempt or client.get("training-jobs", id)["attempt"]
    cursor = None
    while True:
        page = client.get("training-jobs", id, "logs", attempt=chosen, limit=100, cursor=cursor)
        for line in page["items"]:
            show.say_json(line, indent=None) if json else print(f"{line['part']}  {line['text']}", flush=True)
        cursor = page["next"]
        if cursor is None or not (page["items"] or follow):
            return
        if not page["items"]:
            time.sleep(POLL_S)


@jobs.command("attempts")
@plainly
def attempts(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """Every attempt of a job, and why it ended."""
    page = client_of(api, key).get("training-jobs", id, "attempts")
    if json:
        show.say_json(page)
        return
    rows = [
        (str(run["attempt"]), show.state(run["state"]), run["started_at"] or "", escape(run["error"] or ""))
        for run in page["items"]
    ]
    show.table(("attempt", "state", "started", ""), rows)


@jobs.command("show")
@plainly
def show_job(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """One job."""
    _show(client_of(api, key).get("training-jobs", id), json)


@jobs.command("watch")
@plainly
def watch_job(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """Follow a job to its end. With --json, a line for each change."""
    _watch(client_of(api, key), id, json)


@jobs.command("cancel")
@plainly
def cancel(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """Stop a job."""
    _show(client_of(api, key).delete("training-jobs", id), json)


def _watch(client: Client, id: str, json: bool) -> None:
    last = None
    with show.bars() as bars:
        task = bars.add_task(id, total=None) if bars and not json else None
        while True:
            job = client.get("training-jobs", id)
            now = (job["state"], _doing(job))
            if json and job != last:
                show.say_json(job, indent=None)
            elif bars and task is not None:
                steps = job["progress"].get("steps")
                bars.update(task, description=" ".join(now), total=steps, completed=job["progress"].get("step") or 0)
            elif not json and (last is None or now != (last["state"], _doing(last))):
                show.out().print(f"{show.state(job['state'])} {escape(now[1])}")
            last = job
            if JobState(job["state"]).final:
                break
            time.sleep(POLL_S)
    if job["state"] != JobState.COMPLETED:
        show.err().print(f"[red]{escape(job['error'] or job['state'])}[/]")
        raise typer.Exit(1)
    if not json:
        _show(job, json)


def _show(job: dict[str, Any], json: bool) -> None:
    if json:
        show.say_json(job)
        return
    show.out().print(f"{show.state(job['state'])} [bold]{escape(job['id'])}[/] {escape(_outcome(job))}")
    names = (
        "strategy",
        "model_id",
        "snapshot_id",
        "dataset_id",
        "attempt",
        "created_at",
        "updated_at",
        "hyperparameters",
    )
    show.facts({name: job[name] for name in names})
    for told in job["recoveries"]:
        show.out().print(f"attempt {told['attempt']}: {escape(told['text'])}")
    for name, gate in job["gates"].items():
        show.out().print(f"gate {escape(name)}: {'[green]passed[/]' if gate['passed'] else '[red]refused[/]'}")
        for reason in gate["reasons"]:
            show.out().print(f"  {escape(reason['text'])}")


def _outcome(job: dict[str, Any]) -> str:
    return str(job["error"] or "") if JobState(job["state"]).final else _doing(job)


def _doing(job: dict[str, Any]) -> str:
    return "" if JobState(job["state"]).final else show.doing(job["progress"])
