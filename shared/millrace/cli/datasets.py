"""The commands of `millrace datasets`."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import Unavailable
from . import sending, show
from .client import Client
from .options import Api, Json, Key, Limit, client_of, plainly

POLL_S = 1.0
ENDED = ("ready", "error")

datasets = typer.Typer(no_args_is_help=True, help="Image datasets: create, upload, list, show, delete.")
Domain = Annotated[str, typer.Option(help="What it is about.")]


@datasets.command("create")
@plainly
def create(name: str, domain: Domain = "images", api: Api = None, key: Key = None, json: Json = False) -> None:
    """A draft, to which an archive can be uploaded."""
    _show(client_of(api, key).post("datasets", body={"name": name, "domain": domain}), json)


@datasets.command("upload")
@plainly
def upload(
    file: Annotated[Path, typer.Argument(help="A ZIP of images, up to 100 GB.")],
    name: Annotated[str | None, typer.Option(help="Else the file's name.")] = None,
    domain: Domain = "images",
    id: Annotated[str | None, typer.Option("--id", help="A dataset that waits for its archive.")] = None,
    wait_s: Annotated[float, typer.Option(min=0, help="How long to wait until it is ready; 0: not at all.")] = 600,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Send an archive in parts. Interrupted, the same command goes on where it stopped."""
    client = client_of(api, key)
    dataset = sending.resume(client, file, id) if id else sending.begin(client, file, name or file.stem, domain)
    with show.bars() as bars:
        task = bars.add_task(f"sending {file.name}", total=dataset["upload"]["size_bytes"]) if bars else None
        told = partial(bars.advance, task) if bars and task is not None else lambda done: None
        dataset = sending.send(client, file, dataset, told)
        if bars and task is not None:
            bars.update(task, description="looking at the images", total=None)
        dataset = _ended(client, dataset["id"], wait_s) if wait_s else dataset
    _show(dataset, json)
    if dataset["state"] == "error":
        raise typer.Exit(1)


def _ended(client: Client, id: str, wait_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        dataset: dict[str, Any] = client.get("datasets", id)
        if dataset["state"] in ENDED:
            return dataset
        time.sleep(POLL_S)
    raise Unavailable(f"Dataset {id} is still being looked at; `millrace datasets show {id}` will tell.")


@datasets.command("list")
@plainly
def list_datasets(
    domain: Annotated[str | None, typer.Option(help="Only of this domain.")] = None,
    readiness: Annotated[str | None, typer.Option(help="draft, processing, ready or error.")] = None,
    search: Annotated[str | None, typer.Option(help="Words of name, domain or classes.")] = None,
    limit: Limit = 20,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Datasets, newest first."""
    page = client_of(api, key).get("datasets", domain=domain, readiness=readiness, search=search, limit=limit)
    if json:
        show.say_json(page)
        return
    rows = [
        (show.state(d["state"]), d["id"], escape(d["name"]), f"{d['total_samples']:,}", str(d["class_count"]), _why(d))
        for d in page["items"]
    ]
    show.table(("state", "dataset", "name", "images", "classes", ""), rows)


@datasets.command("show")
@plainly
def show_dataset(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """One dataset, with the balance of its classes and what is wrong with it."""
    client = client_of(api, key)
    dataset = client.get("datasets", id)
    if json:
        show.say_json(dataset)
        return
    _show(dataset, json)
    if dataset["state"] == "ready":
        counts = client.get("datasets", id, "report")["counts"]
        rows = [(escape(name), str(sum(by.values())), _splits(by)) for name, by in counts.items()]
        show.table(("class", "images", "splits"), rows)


@datasets.command("delete")
@plainly
def delete(id: str, api: Api = None, key: Key = None) -> None:
    """Remove a dataset with every object of it."""
    client_of(api, key).delete("datasets", id)
    show.out().print(f"Dataset {escape(id)} is gone.")


def _show(dataset: dict[str, Any], json: bool) -> None:
    if json:
        show.say_json(dataset)
        return
    show.out().print(f"{show.state(dataset['state'])} [bold]{escape(dataset['id'])}[/] {escape(dataset['name'])}")
    names = ("domain", "total_samples", "class_count", "size_bytes", "storage_path", "created_at")
    show.facts({name: dataset[name] for name in names})
    for told in [*dataset["reasons"], *dataset["summary"].get("warnings", [])]:
        show.out().print(f"  {escape(told['text'])}")


def _why(dataset: dict[str, Any]) -> str:
    return escape(" ".join(reason["text"] for reason in dataset["reasons"]))


def _splits(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if name != "unsplit")
