"""The commands of `millrace models`."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from . import show
from .options import Api, Json, Key, Limit, client_of, plainly

models = typer.Typer(no_args_is_help=True, help="Model versions: list, show; replay the golden set on a successor.")


@models.command("list")
@plainly
def list_models(limit: Limit = 20, api: Api = None, key: Key = None, json: Json = False) -> None:
    """Versions, newest first."""
    page = client_of(api, key).get("models", limit=limit)
    if json:
        show.say_json(page)
        return
    figures = ("edit_rate", "content_kept_rate")
    rows = [
        (show.state(m["state"]), escape(m["id"]), escape(m["strategy"]), *(_figure(m, f) for f in figures))
        for m in page["items"]
    ]
    show.table(("state", "model", "strategy", *figures), rows)


def _figure(model: dict[str, Any], name: str) -> str:
    return show.text(float(model["metrics"][name])) if name in model["metrics"] else "-"


@models.command("show")
@plainly
def show_model(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """One version with its figures and lineage."""
    model = client_of(api, key).get("models", id)
    if json:
        show.say_json(model)
        return
    show.out().print(f"{show.state(model['state'])} [bold]{escape(model['id'])}[/]")
    names = ("strategy", "created_at", "endpoint", "error")
    show.facts({name: model[name] for name in names} | model["lineage"] | model["metrics"])


@models.command("replay")
@plainly
def replay(id: str, api: Api = None, key: Key = None, json: Json = False) -> None:
    """A model's successor held against it on the golden set; takes up to 25 seconds and costs what 16 rewrites do."""
    told = client_of(api, key).post("models", id, "replay", body={})
    if json:
        show.say_json(told)
        return
    figures = ("faithful", "texts", "ai_likeness", "readability", "latency_ms", "cost_usd")
    rows = [(escape(one["model_id"]), *(show.text(one[name]) for name in figures)) for one in _sides(told)]
    show.table(("model", *figures), rows)
    show.out().print(f"[bold]{told['verdict']}[/]: {escape(told['text'])}")


def _sides(told: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return told["before"], told["after"]
