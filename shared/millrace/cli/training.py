"""The commands of `millrace jobs`."""

from __future__ import annotations

import json as _json
import time
import uuid
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..contract import JobState
from ..errors import InvalidInput
from . import show
from .client import Client
from .options import Api, Json, Key, Limit, client_of, plainly

POLL_S = 1.0

jobs = typer.Typer(no_args_is_help=True, help="Training jobs: list, start, show, watch, cancel.")


@jobs.command("list")
@plainly
def list_jobs(limit: Limit = 20, api: Api = None, key: Key = None, json: Json = False) -> None:
    """Jobs, newest first."""
    page = client_of(api, key).get("training-jobs", limit=limit)
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
    strategy: Annotated[str, typer.Option(help="How to train.")] = "lora-sft",
    name: Annotated[str, typer.Option(help="The model's name.")] = "humanizer",
    set_: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter: name=value.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until it has ended.")] = False,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Train on all usable pairs."""
    client = client_of(api, key)
    body = {"strategy": strategy, "model_name": name, "hyperparameters": dict(map(_setting, set_ or []))}
    job = client.post("training-jobs", body=body, idempotency_key=str(uuid.uuid4()))
    if watch:
        _watch(client, job["id"], json)
    else:
        _show(job, json)


def _setting(given: str) -> tuple[str, Any]:
    """epochs=3 is a number, name=text a text."""
    name, sign, value = given.partition("=")
    if not sign or not name:
        raise InvalidInput(f"A hyperparameter is given as name=value, not {given!r}.")
    try:
        return name, _json.loads(value)
    except ValueError:
        return name, value


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
    names = ("strategy", "model_id", "snapshot_id", "attempt", "created_at", "updated_at", "hyperparameters")
    show.facts({name: job[name] for name in names})
    for name, gate in job["gates"].items():
        show.out().print(f"gate {escape(name)}: {'[green]passed[/]' if gate['passed'] else '[red]refused[/]'}")
        for reason in gate["reasons"]:
            show.out().print(f"  {escape(reason['text'])}")


def _outcome(job: dict[str, Any]) -> str:
    return str(job["error"] or "") if JobState(job["state"]).final else _doing(job)


def _doing(job: dict[str, Any]) -> str:
    return "" if JobState(job["state"]).final else show.doing(job["progress"])
