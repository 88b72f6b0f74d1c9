"""The commands of `millrace data`: training data as it stands, in and out."""

from __future__ import annotations

import json as jsonlib
import sys
import time
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import InvalidInput, MillraceError, Unavailable
from . import show
from .client import Client
from .options import Api, Json, Key, Limit, client_of, plainly

data = typer.Typer(no_args_is_help=True, help="Training data: list, get, add, export, delete, stats.")

AT_ONCE = 50
POLL_S = 1.0
SHOWN = 60
Search = Annotated[str | None, typer.Option(help="Words that all occur.")]
MinQuality = Annotated[float | None, typer.Option(min=0, max=1, help="At least so good.")]
Split = Annotated[str | None, typer.Option(help="train, validation or test.")]
Origin = Annotated[str | None, typer.Option(help="answer, drop, api, edit, accepted or negative.")]
Said = Annotated[str | None, typer.Option("--feedback", help="rated, up, down, accepted, edited or rejected.")]
Since = Annotated[str | None, typer.Option(help="RFC 3339 with its zone, such as 2026-11-01T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="As --since.")]
Model = Annotated[str | None, typer.Option(help="A model's id.")]
Source = Annotated[str | None, typer.Option(help="The drop or decision that it came from.")]


@data.command("list")
@plainly
def list_data(
    limit: Limit = 20,
    search: Search = None,
    min_quality: MinQuality = None,
    split: Split = None,
    origin: Origin = None,
    feedback: Said = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    source: Source = None,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Data points, newest first, by any filter."""
    wanted = _wanted(search, min_quality, split, origin, feedback, since, until, model, source)
    client = client_of(api, key)
    page = client.get("training-data", limit=limit, **wanted)
    while len(page["items"]) < limit and page["next"]:  # a page that was filtered may be short
        left = limit - len(page["items"])
        later = client.get("training-data", limit=left, cursor=page["next"], **wanted)
        page = {"items": page["items"] + later["items"], "next": later["next"]}
    if json:
        show.say_json(page)
        return
    rows = [
        (
            escape(p["id"]),
            p["origin"],
            p["split"],
            _quality(p),
            escape(_short(p["source"])),
            escape(_short(p["target"])),
        )
        for p in page["items"]
    ]
    show.table(("id", "origin", "split", "quality", "source", "target"), rows)


@data.command("get")
@plainly
def get_point(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """One data point with its quality and what people said of it."""
    point = client_of(api, key).get("training-data", id)
    if json:
        show.say_json(point)
        return
    quality, said = point["quality"] or {}, point["feedback"] or {}
    show.facts({name: point[name] for name in ("id", "origin", "split", "created_at", "origin_ref", "model_id")})
    show.facts(
        {"quality": quality.get("score"), "improvement": quality.get("improvement"), "feedback": said.get("kinds")}
    )
    for reason in quality.get("reasons", ()):
        show.out().print(f"  [yellow]{escape(reason['code'])}[/]: {escape(reason['text'])}")
    for name in ("source", "target", "rejected"):
        if point[name]:
            show.out().print(f"\n[dim]{name}[/]\n{escape(point[name])}")


@data.command("add")
@plainly
def add(
    file: Annotated[Path, typer.Argument(help="JSON Lines of source, target and perhaps rejected; - reads stdin.")],
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Add examples; big files are better dropped."""
    examples = _examples(file)
    client = client_of(api, key)
    added: list[dict[str, Any]] = []
    for first in range(0, len(examples), AT_ONCE):
        added += client.post("training-data", body={"items": examples[first : first + AT_ONCE]})
    if json:
        show.say_json(added)
    else:
        new = sum(told["new"] for told in added)
        show.out().print(f"{new} added, {len(added) - new} stood there already.")


def _examples(file: Path) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = [jsonlib.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read as JSON Lines: {error}.") from error
    if not found or not all(isinstance(one, dict) for one in found):
        raise InvalidInput(f"{file} holds no examples: write one object with source and target a line.")
    return found


@data.command("export")
@plainly
def export(
    to: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[str | None, typer.Option(help="jsonl, csv or parquet; else by the file's name.")] = None,
    shape: Annotated[str, typer.Option(help="pair, chat or preference.")] = "pair",
    search: Search = None,
    min_quality: MinQuality = None,
    split: Split = None,
    origin: Origin = None,
    feedback: Said = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    source: Source = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="How long to wait for the file.")] = 900,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Write data points to a file."""
    wanted = _wanted(search, min_quality, split, origin, feedback, since, until, model, source)
    asked = {"format": format or to.suffix.lstrip(".") or "jsonl", "shape": shape, **wanted}
    client = client_of(api, key)
    told = _ready(client, client.post("training-data", "exports", body=asked)["id"], timeout_s)
    try:
        with urllib.request.urlopen(told["url"], timeout=60) as reply, to.open("wb") as out:  # noqa: S310
            while chunk := reply.read(1 << 20):
                out.write(chunk)
    except OSError as error:
        raise Unavailable(f"The file cannot be fetched or written: {error}.") from error
    if json:
        show.say_json(told)
    else:
        show.out().print(f"{told['rows']} rows in {escape(str(to))}.")


def _ready(client: Client, id: str, timeout_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        told: dict[str, Any] = client.get("training-data", "exports", id)
        if told["state"] == "failed":
            raise MillraceError(told["error"])
        if told["state"] == "ready":
            return told
        time.sleep(POLL_S)
    raise Unavailable(f"Export {id} was not ready after {timeout_s:.0f} s.")


@data.command("delete")
@plainly
def delete(
    id: Annotated[str | None, typer.Argument(help="One data point; or say which by filters.")] = None,
    search: Search = None,
    min_quality: MinQuality = None,
    split: Split = None,
    origin: Origin = None,
    feedback: Said = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    source: Source = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really; else what filters meet is only counted.")] = False,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Delete data points, and hear which snapshots, jobs and models had used them."""
    client = client_of(api, key)
    if id is not None:
        told = client.delete("training-data", id)
    else:
        wanted = _wanted(search, min_quality, split, origin, feedback, since, until, model, source)
        told = _delete_all(client, wanted, dry_run=not yes)
    if json:
        show.say_json(told)
        return
    if id is None:
        show.out().print(f"{told['count']} data points " + ("would be deleted; say --yes." if not yes else "deleted."))
    show.facts({name: ", ".join(ids) for name, ids in told["touched"].items() if ids})


def _delete_all(client: Client, wanted: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    whole: dict[str, Any] = {"dry_run": dry_run, "count": 0, "ids": [], "touched": {}}
    cursor = None
    while True:
        told = client.delete("training-data", dry_run=str(dry_run).lower(), cursor=cursor, **wanted)
        whole["count"] += told["count"]
        whole["ids"] += told["ids"]
        for name, ids in told["touched"].items():
            whole["touched"][name] = sorted({*whole["touched"].get(name, ()), *ids})
        cursor = told["next"]
        if cursor is None:
            return whole


@data.command("stats")
@plainly
def stats(api: Api = None, key: Key = None, json: Json = False) -> None:
    """How good the data is, by origin and model."""
    told = client_of(api, key).get("training-data", "stats")
    if json:
        show.say_json(told)
        return
    show.facts({name: told[name] for name in ("usable", "trained", "deleted")})
    groups = [("all", told["all"]), *told["by_origin"].items(), *told["by_model"].items()]
    names = ("count", "mean_quality", "mean_improvement", "near_duplicates")
    show.table(("of", *names), [(escape(name), *(show.text(group[n]) for n in names)) for name, group in groups])


def _wanted(
    search: str | None,
    min_quality: float | None,
    split: str | None,
    origin: str | None,
    feedback: str | None,
    since: str | None,
    until: str | None,
    model: str | None,
    source: str | None,
) -> dict[str, Any]:
    told = {
        "search": search,
        "min_quality": min_quality,
        "split": split,
        "origin": origin,
        "feedback": feedback,
        "since": since,
        "until": until,
        "model": model,
        "source": source,
    }
    return {name: value for name, value in told.items() if value is not None}


def _quality(point: dict[str, Any]) -> str:
    return f"{point['quality']['score']:.2f}" if point["quality"] else "-"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
