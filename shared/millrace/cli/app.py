"""The commands. Each asks the API, then shows: `--json` for programs, a table or the text alone for people.

Exit 0: done as asked. 1: an error, its sentence on stderr; also a job that failed or a drop that was refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from ..errors import InvalidInput
from . import data, datasets, show, training, versions
from .client import Client, Refused
from .dropping import upload, wait
from .following import followed, is_job
from .options import Api, Json, Key, Limit, client_of, plainly

SHOWN_REASONS = 10

app = typer.Typer(name="millrace", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.add_typer(training.jobs, name="jobs")
app.add_typer(versions.models, name="models")
app.add_typer(data.data, name="data")
app.add_typer(datasets.datasets, name="datasets")


@app.callback()
def about() -> None:
    """Text in, a natural human voice out; answers, edits and files become the next model."""


@app.command()
@plainly
def humanize(
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")] = "-",
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the text from a file.")] = None,
    model: Annotated[str | None, typer.Option(help="auto, rules or a model's id.")] = None,
    strength: Annotated[str, typer.Option(help="light, medium or strong.")] = "medium",
    tone: Annotated[str, typer.Option(help="plain, warm, formal or academic.")] = "plain",
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Rewrite a text; the rewrite alone goes to stdout. A text over 3,000 words is a job, which is followed."""
    body = {"text": _text(text, file), "model_id": model, "strength": strength, "tone": tone}
    client = client_of(api, key)
    try:
        answer = client.post("humanize", body=body)
        if is_job(answer):
            answer = followed(client, answer)
    except Refused as refused:
        for lost in refused.body.get("violations") or []:
            words = f"{lost['kind']}: {lost['before'] or 'nothing'} became {lost['after'] or 'nothing'}"
            show.err().print(f"[yellow]{escape(words)}[/]")
        raise
    if json:
        show.say_json(answer)
        return
    print(answer["text"])
    if sys.stderr.isatty():
        show.err().print(f"[dim]{escape(_how(answer))}[/]")


def _text(text: str, file: Path | None) -> str:
    try:
        if file is not None:
            return file.read_text(encoding="utf-8")
        return sys.stdin.read() if text == "-" else text
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The text cannot be read: {error}.") from error


def _how(answer: dict[str, Any]) -> str:
    before, after = answer["scores"]["before"], answer["scores"]["after"]
    ease = f"readability {before.get('readability', 0):.0f} -> {after.get('readability', 0):.0f}"
    return f"{answer['model_id']} in {answer['latency_ms']:.0f} ms, {ease}; decision {answer['decision_id']}"


@app.command()
@plainly
def drop(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of pairs, preferences or chats: CSV, JSON, JSON Lines, Parquet; gzip, ZIP."),
    ],
    tenant: Annotated[str | None, typer.Option(help="Whose folder; else MILLRACE_TENANT, on the twin demo.")] = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="How long to wait for each report.")] = 120,
    api: Api = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Put files into the drop folder and wait for their reports."""
    client = client_of(api, key, tenant)
    with show.bars() as bars:
        reports = [_drop(client, file, timeout_s, bars) for file in files]
    if json:
        show.say_json(reports)
    else:
        _show_drops(reports, reasons=True)
    if any(report["state"] == "refused" for report in reports):
        raise typer.Exit(1)


def _drop(client: Client, file: Path, timeout_s: float, bars: Progress | None) -> dict[str, Any]:
    if bars is None:
        return wait(client, upload(client, file), timeout_s)
    task: TaskID = bars.add_task(file.name, total=file.stat().st_size if file.is_file() else None)
    drop_id = upload(client, file, partial(bars.advance, task))
    bars.update(task, description=f"{file.name}: collecting", total=None)
    try:
        return wait(client, drop_id, timeout_s)
    finally:
        bars.remove_task(task)


@app.command()
@plainly
def drops(limit: Limit = 20, api: Api = None, key: Key = None, json: Json = False) -> None:
    """What became of dropped files."""
    page = client_of(api, key).get("drops", limit=limit)
    if json:
        show.say_json(page)
    else:
        _show_drops(page["items"])


def _show_drops(items: list[dict[str, Any]], reasons: bool = False) -> None:
    counts = ("accepted", "duplicate", "rejected")
    rows = [(show.state(d["state"]), escape(d["key"]), *(str(d[name]) for name in counts)) for d in items]
    show.table(("state", "file", *counts), rows)
    for item in items if reasons else ():
        for line in _refusals(item):
            show.out().print(f"  {escape(line)}")


def _refusals(item: dict[str, Any]) -> Iterator[str]:
    """One line a reason, the most frequent first: how often, and where the first one is."""
    groups = sorted(item["groups"], key=lambda group: -group["count"])
    for group in groups[:SHOWN_REASONS]:
        place = f"{group.get('file') or item['key'].rsplit('/', 1)[-1]}:{group['line']}"
        more = f"  and {group['count'] - 1:,} more like it" if group["count"] > 1 else ""
        yield f"{place}  {group['reason']}{more}"
    left = len(groups) - SHOWN_REASONS
    if left > 0:
        yield f"and {left} other {'reasons' if left > 1 else 'reason'}; every line stands in the report"


@app.command()
@plainly
def status(api: Api = None, key: Key = None, json: Json = False) -> None:
    """Whether everything answers, and where things are."""
    client = client_of(api, key)
    health = client.get("system", "health")
    if json:
        show.say_json(health)
    else:
        show.out().print(f"{show.state(health['status'])} {escape(client.where.api)}")
        show.facts({name: value for name, value in health.items() if name not in ("status", "dependencies")})
        show.facts(health["dependencies"])
    if health["status"] != "ok":
        raise typer.Exit(1)
