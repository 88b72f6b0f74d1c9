"""`millrace data` against the real gateway on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from millrace.browsing import Browser
from millrace.cli import data
from millrace.cli.app import app
from millrace.exports import Exports
from millrace.indexing import Index
from typer.testing import CliRunner, Result

from tests.loopback import Served, served

Run = Callable[..., Result]
ROWS = [{"source": f"Moreover, we utilize {n} carts in the bakery.", "target": f"We use {n} carts."} for n in range(4)]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(data, "POLL_S", 0.02)
    with served() as up:
        monkeypatch.setenv("MILLRACE_API", up.url)
        monkeypatch.setenv("MILLRACE_TENANT", "demo")
        yield up


@pytest.fixture
def run(api: Served) -> Run:
    def millrace(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["data", *words], input=stdin, catch_exceptions=False)

    return millrace


def _added(run: Run, api: Served) -> list[str]:
    lines = "\n".join(map(json.dumps, ROWS))
    added = json.loads(run("add", "-", "--json", stdin=lines).stdout)
    points = api.corpus.get_all(api.tenant, [told["id"] for told in added])
    Index(api.corpus.table).take(api.tenant, list(points.values()))
    return [told["id"] for told in added]


def test_examples_are_added_listed_found_and_shown(run: Run, api: Served) -> None:
    ids = _added(run, api)

    assert "4 stood there already" in run("add", "-", stdin="\n".join(map(json.dumps, ROWS))).stdout
    assert {p["id"] for p in json.loads(run("list", "--json", "--limit", "3").stdout)["items"]} < set(ids)
    found = json.loads(run("list", "--search", "bakery", "--min-quality", "0.1", "--json").stdout)["items"]
    assert {point["id"] for point in found} == set(ids)
    assert "We use 2 carts." in run("get", ids[2]).stdout
    assert "drop" not in run("list", "--origin", "drop").stdout.splitlines()[1:]
    assert json.loads(run("stats", "--json").stdout)["usable"] == 4


def test_filters_are_counted_before_they_delete(run: Run, api: Served) -> None:
    ids = _added(run, api)

    assert "4 data points would be deleted; say --yes." in run("delete", "--search", "bakery").stdout
    assert api.corpus.counts(api.tenant).removed == 0
    assert run("delete", ids[0]).exit_code == 0
    assert json.loads(run("delete", "--search", "bakery", "--yes", "--json").stdout)["count"] == 3
    assert run("delete").exit_code == 1


def test_an_export_is_waited_for_and_fetched(
    run: Run, api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _added(run, api)
    asked = data._ready

    def written(client: object, id: str, timeout_s: float) -> object:
        """As the table's stream would have it; the twin's address is a file here."""
        Exports(api.corpus.table, api.corpus.store, Browser(api.corpus)).write(api.tenant, id)
        told = asked(client, id, timeout_s)  # type: ignore[arg-type]
        body = api.corpus.store.get(f"tenants/demo/exports/{id}.jsonl")
        (tmp_path / "served").write_bytes(body)
        return told | {"url": (tmp_path / "served").as_uri()}

    monkeypatch.setattr(data, "_ready", written)
    said = run("export", str(tmp_path / "out.jsonl"), "--min-quality", "0.1")

    assert said.stdout.startswith("4 rows")
    assert {json.loads(line)["target"] for line in (tmp_path / "out.jsonl").read_text().splitlines()} == {
        row["target"] for row in ROWS
    }


@pytest.mark.parametrize("text", ["", "no json", "[1]", '"a"'])
def test_a_file_that_holds_no_examples_is_told_so(run: Run, text: str) -> None:
    said = run("add", "-", stdin=text)

    assert said.exit_code == 1 and "-" in said.stderr
