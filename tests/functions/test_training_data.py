"""/api/training-data and /api/policies as they are called; and two tenants who try to reach each other's."""

from __future__ import annotations

import csv
import io
import json
import random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from millrace.errors import Corrupt, Throttled

from tests.fakes import LONG
from tests.functions.conftest import CONTEXT, Api

SOURCE = "Moreover, it is important to note that we utilize {0} servers in hall {0} for the {1}."
TARGET = "We use {0} servers in hall {0} for the {1}."
SUBJECTS = "bakery orchard ferry museum tractor violin harbour".split()


def _examples(first: int, count: int) -> list[dict[str, str]]:
    told = [(n, SUBJECTS[n % len(SUBJECTS)]) for n in range(first, first + count)]
    return [{"source": SOURCE.format(n, s), "target": TARGET.format(n, s)} for n, s in told]


def _stream() -> list[dict[str, Any]]:
    """The table as its stream would tell it: every body, as if it were new."""
    from functions import parts
    from functions.gateway.shapes import settings

    table = parts.table(settings)
    items = table.client.scan(TableName=table.name)["Items"]
    return [{"eventName": "INSERT", "dynamodb": {"NewImage": item}} for item in items if item["sk"].get("S") == "body"]


def _settle() -> None:
    """What follows a write by itself in AWS: the index and the exports."""
    from functions.export.handler import handler as export
    from functions.index.handler import handler as index

    index({"Records": _stream()}, None)
    export({"Records": _stream()}, CONTEXT)


@pytest.fixture
def held(api: Api) -> Api:
    reply = api("POST", "/api/training-data", {"items": _examples(0, 30)})
    assert reply.status == 201 and all(told["new"] for told in reply.body)
    _settle()
    return api


def _ids(reply: Any) -> list[str]:
    assert reply.status == 200, reply.body
    return [item["id"] for item in reply.body["items"]]


def test_examples_are_added_once_and_shown_with_their_quality(held: Api) -> None:
    again = held("POST", "/api/training-data", {"items": _examples(29, 3)}).body
    _settle()

    assert [told["new"] for told in again] == [False, True, True]
    shown = held("GET", f"/api/training-data/{again[1]['id']}").body
    assert shown["origin"] == "api" and shown["trains"]
    assert shown["quality"]["score"] > 0.5 and shown["quality"]["improvement"] > 0
    assert len(_ids(held("GET", "/api/training-data", query="limit=100"))) == 32
    assert held("GET", "/api/training-data/stats").body["usable"] == 32


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("search=bakery", 5),
        ("search=bakery%20servers&limit=2", 2),
        ("origin=drop", 0),
        ("origin=api&limit=100", 30),
        ("min_quality=0.999", 0),
        ("since=2020-01-01T00:00:00Z&limit=100", 30),
        ("until=2020-01-01T00:00:00%2B02:00", 0),
        ("feedback=edited", 0),
    ],
)
def test_filters(held: Api, query: str, count: int) -> None:
    assert len(_ids(held("GET", "/api/training-data", query=query))) == count


@pytest.mark.parametrize(
    "example",
    [
        {"source": "a b c", "target": " a b c "},
        {"source": "  ", "target": "x"},
        {"source": "a", "target": "x", "rejected": "x"},
        {"source": "a", "target": "\ud800"},
        {"source": "a", "target": "x" * 60_001},
        {"source": "a"},
    ],
)
def test_what_teaches_nothing_is_refused(api: Api, example: dict[str, str]) -> None:
    assert api("POST", "/api/training-data", {"items": [example]}).status == 422


def test_an_export_is_asked_for_and_fetched(held: Api) -> None:
    tricky = {"source": "=cmd|' /C calc'!A0 is what he typed, 1 time", "target": "@SUM(1+1), he typed 1 time"}
    held("POST", "/api/training-data", {"items": [tricky]})
    asked = {
        kind: held("POST", "/api/training-data/exports", {"format": kind}).body for kind in ("jsonl", "csv", "parquet")
    }
    assert all(export["state"] == "pending" and export["url"] is None for export in asked.values())
    _settle()

    bodies = {kind: _fetched(held, export["id"]) for kind, export in asked.items()}

    lines = [json.loads(line) for line in bodies["jsonl"].splitlines()]
    cells = list(csv.DictReader(io.StringIO(bodies["csv"].decode(), newline="")))
    rows = pq.read_table(io.BytesIO(bodies["parquet"])).to_pylist()
    assert len(lines) == len(cells) == len(rows) == 31
    assert {row["source"] for row in rows} == {line["source"] for line in lines}
    assert "'" + tricky["source"] in {cell["source"] for cell in cells}
    assert not [cell for row in cells for cell in row.values() if cell.startswith(("=", "+", "@"))]


LATER, EARLIER = "2027-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def test_an_end_that_lies_before_the_beginning_is_refused_everywhere(held: Api) -> None:
    """C3, O3: DynamoDB refuses such bounds, which is nobody's fault but the sender's."""
    query = f"since={LATER}&until={EARLIER}"
    bounds = {"since": LATER, "until": EARLIER}

    told = [held("GET", "/api/training-data", query=query), held("DELETE", "/api/training-data", query=query)]
    told.append(held("POST", "/api/training-data/exports", bounds))

    assert all(reply.status == 422 and "swap them" in reply.body["detail"] for reply in told)
    assert held("GET", "/api/training-data/exports").body["items"] == []


def test_an_export_that_its_function_has_no_time_for_ends_and_says_what_to_ask_for(held: Api) -> None:
    """C3: it does not stay pending."""
    from functions.export.handler import handler

    id = held("POST", "/api/training-data/exports", {}).body["id"]

    handler({"Records": _stream()}, SimpleNamespace(get_remaining_time_in_millis=lambda: 29_000))

    export = held("GET", f"/api/training-data/exports/{id}").body
    assert export["state"] == "failed" and "since and until" in export["error"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(Corrupt("bodies/dp1 has another hash."), "bodies/dp1"), (ValueError("a text"), "on our side")],
)
def test_an_export_that_cannot_be_written_says_so_and_no_text(
    held: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    from functions.export.handler import handler

    def fails(*_: Any) -> None:
        raise error

    id = held("POST", "/api/training-data/exports", {}).body["id"]
    monkeypatch.setattr("millrace.browsing.Browser.page", fails)
    handler({"Records": _stream()}, CONTEXT)

    export = held("GET", f"/api/training-data/exports/{id}").body
    assert export["state"] == "failed" and told in export["error"] and "a text" not in export["error"]


def test_an_export_that_a_dependency_kept_from_being_written_comes_again(
    held: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.export.handler import handler

    def busy(*_: Any) -> None:
        raise Throttled("Later.")

    id = held("POST", "/api/training-data/exports", {}).body["id"]
    with monkeypatch.context() as patched:
        patched.setattr("millrace.browsing.Browser.page", busy)
        with pytest.raises(Throttled):
            handler({"Records": _stream()}, CONTEXT)
    _settle()

    assert held("GET", f"/api/training-data/exports/{id}").body["state"] == "ready"


def _fetched(api: Api, id: str) -> bytes:
    from millrace import aws

    from functions.gateway.shapes import settings

    export = api("GET", f"/api/training-data/exports/{id}").body
    assert export["state"] == "ready" and "Signature" in export["url"] and id in export["url"], export
    key = f"tenants/{api.tenant}/exports/{id}.{export['format']}"
    body = aws.s3().get_object(Bucket=settings.data_bucket, Key=key)["Body"].read()
    assert len(body) == export["size_bytes"]
    return body


def test_a_deletion_by_filter_is_counted_first_and_names_what_it_touched(held: Api) -> None:
    assert held("DELETE", "/api/training-data").status == 422

    counted = held("DELETE", "/api/training-data", query="search=bakery").body
    done = held("DELETE", "/api/training-data", query="search=bakery&dry_run=false").body

    assert (counted["dry_run"], counted["count"], counted["ids"]) == (True, 5, [])
    assert (done["count"], len(done["ids"]), done["touched"]["snapshots"]) == (5, 5, [])
    assert _ids(held("GET", "/api/training-data", query="search=bakery")) == []
    assert held("GET", "/api/training-data/stats").body["deleted"] == 5


def test_policies_are_set_and_hold(api: Api) -> None:
    told = api("PUT", "/api/policies/data", {"mask": ["email"], "consent": "contract", "min_quality": 0.1})
    assert told.status == 200 and api("GET", "/api/policies/data").body == told.body
    written = {
        "source": "Please write to okafor@example.org about the 3 boats.",
        "target": "Write to okafor@example.org.",
    }

    (added,) = api("POST", "/api/training-data", {"items": [written]}).body

    shown = api("GET", f"/api/training-data/{added['id']}").body
    assert shown["source"] == "Please write to [EMAIL_1] about the 3 boats." and shown["masked"] == {"email": 1}
    assert shown["consent"] == "contract"
    assert api("PUT", "/api/policies/data", {"mask": ["shoe_size"]}).status == 422


def test_examples_past_the_threshold_begin_a_training_by_policy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: by whatever way they came, and once; and what hinders it is not to be heard by who sends examples."""
    from millrace.errors import Unavailable
    from millrace.policies import Collection

    def fail(*_: Any) -> None:
        raise Unavailable("not now")

    api("PUT", "/api/policies/training", {"threshold": 60})
    api("POST", "/api/training-data", {"items": _examples(0, 50)})
    assert api("GET", "/api/training-jobs").body["items"] == []
    with monkeypatch.context() as down:
        down.setattr(Collection, "on_new", fail)
        assert api("POST", "/api/training-data", {"items": _examples(50, 15)}).status == 201
    for _ in range(2):
        assert api("POST", "/api/training-data", {"items": _examples(65, 5)}).status == 201

    (job,) = api("GET", "/api/training-jobs").body["items"]
    assert job["started_by"] == "policy"


def test_a_training_policy_is_changed_by_who_has_read_it(api: Api) -> None:
    from functions.gateway.shapes import settings

    first = api("GET", "/api/policies/training").body
    assert first["threshold"] == settings.train_threshold
    set_ = api("PUT", "/api/policies/training", first | {"threshold": 9, "schedule": "daily 03:00"})

    assert (set_.status, set_.body["version"]) == (200, 1)
    assert api("PUT", "/api/policies/training", first | {"threshold": 7}).status == 409
    assert api("PUT", "/api/policies/training", set_.body | {"schedule": "now and then"}).status == 422
    misspelt = api("PUT", "/api/policies/training", set_.body | {"max_a_month": 1})
    assert misspelt.status == 422 and "max_a_month" in str(misspelt.body)
    assert api("GET", "/api/policies/training").body == set_.body


def test_feedback_shows_on_the_answer_and_filters_find_it(api: Api) -> None:
    answer = api("POST", "/api/humanize", {"text": SOURCE.format(3, "bakery"), "model_id": "rules"}).body
    id = answer["decision_id"]
    up = api("POST", "/api/feedback", {"decision_id": id, "thumbs": "up"}).body
    down = api("POST", "/api/feedback", {"decision_id": id, "rejected": True, "reason": "stiff", "rating": 2}).body
    edit = api("POST", "/api/feedback", {"decision_id": id, "edited_text": "We have 3 servers."}).body

    shown = api("GET", f"/api/training-data/{id}").body
    assert set(shown["feedback"]["kinds"]) == {"rated", "up", "accepted", "edited", "rejected"}
    assert edit["edit_cost"] > 0 and len({up["data_point_id"], down["data_point_id"], edit["data_point_id"]}) == 3
    assert _ids(api("GET", "/api/training-data", query="feedback=edited")) == [id]
    figures = api("GET", "/api/training-data/stats").body["feedback"]
    assert (figures["rated"], figures["mean_rating"], figures["accepted"], figures["rejected"]) == (1, 2.0, 1, 1)


@pytest.mark.parametrize(
    ("method", "path", "body", "role"),
    [
        ("POST", "/api/training-data", {"items": _examples(0, 1)}, "editor"),
        ("DELETE", "/api/training-data/dp1", None, "operator"),
        ("DELETE", "/api/training-data?origin=api", None, "operator"),
        ("PUT", "/api/policies/training", {"threshold": 1}, "operator"),
        ("PUT", "/api/policies/data", {}, "operator"),
    ],
)
def test_who_may(embedded: dict[str, str], method: str, path: str, body: Any, role: str) -> None:
    path, _, query = path.partition("?")
    lacking = ",".join(each for each in ("reader", "editor", "operator") if each != role)

    assert Api(roles=lacking)(method, path, body, query).status == 403
    assert Api(roles=role)(method, path, body, query).status != 403


# --- two tenants ------------------------------------------------------------------------------------------------------
class Two:
    """Two tenants with data of their own, each trying every id and cursor of the other, in any order."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.apis = {name: Api(name) for name in ("acme", "other")}
        self.ids: dict[str, set[str]] = {name: set() for name in self.apis}
        self.exports: dict[str, set[str]] = {name: set() for name in self.apis}
        self.cursors: dict[str, set[tuple[str, str]]] = {name: set() for name in self.apis}

    def step(self) -> None:
        name = self.draw.choice(list(self.apis))
        foe = "other" if name == "acme" else "acme"
        self.draw.choice([self.add, self.browse, self.reach, self.export, self.forget])(name, foe)

    def add(self, name: str, foe: str) -> None:
        example = {
            "source": f"{name} says {self.draw.random()} of its secret",
            "target": f"{name} told {self.draw.random()}",
        }
        key = "the-same-for-both"
        reply = self.apis[name](
            "POST", "/api/training-data", {"items": [example]}, idempotency_key=f"{key}-{self.draw.random()}"
        )
        self.ids[name] |= {told["id"] for told in reply.body}
        _settle()

    def browse(self, name: str, foe: str) -> None:
        query = self.draw.choice(
            ["", "search=secret", "origin=api", f"search={foe}%20secret", "min_quality=0", "feedback=rated"]
        )
        reply = self.apis[name]("GET", "/api/training-data", query=f"{query}&limit=1")
        self.own(name, foe, reply.body)
        if reply.body["next"]:
            self.cursors[name].add((query, reply.body["next"]))

    def reach(self, name: str, foe: str) -> None:
        api = self.apis[name]
        for id in self.draw.sample(sorted(self.ids[foe]), min(3, len(self.ids[foe]))):
            for method, path, body in (
                ("GET", f"/api/training-data/{id}", None),
                ("DELETE", f"/api/training-data/{id}", None),
                ("POST", "/api/feedback", {"decision_id": id, "rating": 1}),
            ):
                reply, absent = (
                    api(method, path, body),
                    api(method, path.replace(id, "dp0"), json.loads(json.dumps(body).replace(id, "dp0"))),
                )
                assert reply.status == absent.status == 404
                assert reply.body["detail"].replace(id, "ID") == absent.body["detail"].replace("dp0", "ID")
            reply = api("GET", "/api/training-data", query=f"source={id}")
            assert reply.body["items"] == []
        for id in self.exports[foe]:
            assert api("GET", f"/api/training-data/exports/{id}").status == 404
        for query, cursor in self.cursors[foe]:
            assert api("GET", "/api/training-data", query=f"{query}&limit=1&cursor={quote(cursor)}").status == 422

    def export(self, name: str, foe: str) -> None:
        id = self.apis[name]("POST", "/api/training-data/exports", {"format": "jsonl"}).body["id"]
        self.exports[name].add(id)
        _settle()
        if self.ids[name]:
            assert foe not in _fetched(self.apis[name], id).decode().replace("origin", "")

    def forget(self, name: str, foe: str) -> None:
        if self.ids[name]:
            id = self.ids[name].pop()
            reply = self.apis[name]("DELETE", f"/api/training-data/{id}")
            assert reply.status == 200 and not set(reply.body["touched"]["related"]) & self.ids[foe]

    def own(self, name: str, foe: str, page: dict[str, Any]) -> None:
        for item in page["items"]:
            assert item["id"] in self.ids[name] and foe not in item["source"], item


@pytest.mark.parametrize("seed", range(4 * LONG or 2))
def test_two_tenants_never_see_each_other(embedded: dict[str, str], seed: int) -> None:
    two = Two(random.Random(seed))
    for name, foe in (("acme", "other"), ("other", "acme")):
        for _ in range(3):
            two.add(name, foe)

    for _ in range(200 * LONG or 25):
        two.step()

    for name, foe in (("acme", "other"), ("other", "acme")):
        two.reach(name, foe)
        assert len(two.ids[name]) == len(_all(two.apis[name]))


def _all(api: Api) -> list[str]:
    return _ids(api("GET", "/api/training-data", query="limit=100"))
