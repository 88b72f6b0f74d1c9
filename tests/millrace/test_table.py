from __future__ import annotations

import base64
import json
import math
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st
from millrace.errors import Conflict, InvalidInput, MillraceError, Throttled, Unavailable
from millrace.table import Table, Write
from millrace.typed import _LARGEST, _SMALLEST, decode, encode

from tests.fakes import FAULTS, FakeDynamo, Fault, Faulty, Plan, client_error, examples

KEYS = st.sampled_from(["a#job#1", "a#job#2", "a#job#3"])
VALUES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["x", "y"]))
EXPECT = st.one_of(VALUES, st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3))
WRITES = st.builds(
    Write,
    kind=st.sampled_from(["put", "update", "delete"]),
    pk=KEYS,
    sk=st.just("body"),
    values=st.dictionaries(st.sampled_from(["state", "n"]), VALUES, max_size=2),
    add=st.dictionaries(st.just("count"), st.integers(1, 3), max_size=1),
    expect=st.dictionaries(st.sampled_from(["state", "n"]), EXPECT, max_size=2),
    new=st.booleans(),
    at_most=st.dictionaries(st.just("count"), st.integers(0, 4), max_size=1),
)


def _told(table: Table, op: int, writes: list[Write]) -> Any:
    first = writes[0]
    try:
        if len(writes) == 1 and first.kind == "update" and not first.new:
            return table.update(first, op=str(op))
        if len(writes) == 1 and first.kind == "put" and first.new:
            return table.put_new({**first.values, "pk": first.pk, "sk": first.sk, "op": str(op)})
        table.transact(writes, op=str(op))
    except Conflict:
        return "conflict"
    return "done"


def _rows(table: Table) -> list[Any]:
    return [table.get(f"a#job#{n}", "body") for n in (1, 2, 3)]


@pytest.mark.usefixtures("embedded")
def test_the_fake_table_does_what_moto_does(embedded: dict[str, str]) -> None:
    from millrace import aws

    real = aws.dynamodb()

    @examples(40)
    @given(st.lists(st.lists(WRITES, min_size=1, max_size=3, unique_by=lambda w: w.pk), max_size=12))
    def same(steps: list[list[Write]]) -> None:
        moto, fake = Table(real, embedded["MILLRACE_TABLE"]), Table(FakeDynamo(), "t")
        for n in (1, 2, 3):
            real.delete_item(TableName=moto.name, Key=encode({"pk": f"a#job#{n}", "sk": "body"}))
        for number, writes in enumerate(steps):
            assert _told(moto, number, writes) == _told(fake, number, writes)
            assert _rows(moto) == _rows(fake)

    same()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["update", "put_new", "transact"])
def test_a_write_whose_reply_was_lost_is_found_again_and_never_done_twice(call: str, fault: Fault) -> None:
    dynamo = FakeDynamo()
    sick = Table(Faulty(dynamo, Plan({1: fault})), "t")  # type: ignore[arg-type]
    table = Table(dynamo, "t")  # type: ignore[arg-type]

    def once(on: Table) -> None:
        if call == "put_new":
            assert on.put_new({"pk": "a#job#1", "sk": "body", "count": 1, "op": "o"})["op"] == "o"
            return
        write = Write("update", "a#job#1", "body", {"state": "done"}, add={"count": 1}, expect={"state": None})
        if call == "update":
            on.update(write, op="o")
        else:
            on.transact([write, Write("put", "a#job#2", "body", new=True)], op="o")

    try:
        once(sick)
    except Unavailable:
        once(table)

    assert (table.get("a#job#1", "body") or {})["count"] == 1


def test_a_condition_that_fails_is_a_conflict_in_words_without_the_tenant() -> None:
    table = Table(FakeDynamo(), "t")  # type: ignore[arg-type]
    table.put({"pk": "acme#job#j1", "sk": "body", "state": "done"})

    with pytest.raises(Conflict, match=r"^job j1 was changed by somebody else"):
        table.update(Write("update", "acme#job#j1", "body", expect={"state": "open"}), op="o")
    with pytest.raises(Conflict, match=r"^job j1 was changed by somebody else"):
        table.transact([Write("delete", "acme#job#j1", "body", expect={"state": "open"})], op="o")


class _Clashing:
    """Meets other writers a number of times before it gets through."""

    def __init__(self, dynamo: FakeDynamo, times: int) -> None:
        self.dynamo, self.left = dynamo, times

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.dynamo, name)

        def clashing(**arguments: Any) -> Any:
            if name not in ("get_item", "query") and self.left:
                self.left -= 1
                if name == "transact_write_items":
                    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
                    raise client_error("TransactionCanceledException", CancellationReasons=reasons)
                raise client_error("TransactionConflictException")
            return call(**arguments)

        return clashing


@pytest.mark.parametrize("call", ["update", "transact"])
def test_a_clash_with_another_transaction_is_tried_again_and_is_not_a_conflict(call: str) -> None:
    pauses: list[float] = []
    dynamo = FakeDynamo()
    table = Table(_Clashing(dynamo, 3), "t", pauses.append)  # type: ignore[arg-type]
    write = Write("update", "a#job#1", "body", add={"count": 1})

    table.update(write, op="o") if call == "update" else table.transact([write], op="o")

    assert (table.get("a#job#1", "body") or {})["count"] == 1
    assert len(pauses) == 3 and all(0 <= pause <= 0.1 for pause in pauses)
    table.client.left = 100  # type: ignore[attr-defined]
    with pytest.raises(Throttled):
        table.transact([write], op="p")


def test_parallel_additions_are_all_there() -> None:
    table = Table(FakeDynamo(), "t")  # type: ignore[arg-type]
    write = Write("update", "a#job#1", "body", add={"count": 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: table.transact([write], op=str(number)), range(200)))

    assert (table.get("a#job#1", "body") or {})["count"] == 200


def test_optimistic_versions_under_threads_lose_nothing(embedded: dict[str, str]) -> None:
    from millrace import aws

    table = Table(aws.dynamodb(), embedded["MILLRACE_TABLE"])
    table.put({"pk": "a#job#1", "sk": "body", "n": 0})

    def raise_by_one(number: int) -> int:
        for attempt in range(100):
            n = (table.get("a#job#1", "body") or {})["n"]
            try:
                table.update(
                    Write("update", "a#job#1", "body", {"n": n + 1}, expect={"n": n}), op=f"{number}-{attempt}"
                )
                return 1
            except Conflict:
                continue
        return 0

    with ThreadPoolExecutor(4) as pool:
        successes = sum(pool.map(raise_by_one, range(24)))

    assert successes == 24 == (table.get("a#job#1", "body") or {})["n"]


@given(st.floats() | st.sampled_from([1e300, -1e300, 1e-300, 5e-324, 1e125, 1e-128]))
def test_every_float_can_be_stored_and_what_is_no_number_is_left_out(value: float) -> None:
    raw = encode({"value": value, "inside": {"value": value, "list": [value]}})

    told = decode(raw)

    if "value" in told:
        assert told["value"] == pytest.approx(value, rel=1e-15, abs=1e-127)
        assert told["inside"] == {"value": told["value"], "list": [told["value"]]}
    else:
        assert value != value or abs(value) > 1e124
        assert told["inside"] == {"list": [None]}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_what_is_written_is_what_is_read(item: dict[str, Any]) -> None:
    kept = {name: value for name, value in item.items() if value is not None}

    assert decode(encode(item)) == kept
    assert not any(isinstance(value, Decimal) for value in decode(encode(item)).values())


def _listed(count: int) -> Table:
    table = Table(FakeDynamo(), "t")  # type: ignore[arg-type]
    for owner in ("acme", "other"):
        for n in range(count):
            table.put({"pk": f"{owner}#job#{n}", "sk": "body", "list_pk": f"{owner}#job", "list_sk": f"{n:04}", "n": n})
    return table


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_hold_every_item_once_newest_first(limit: int) -> None:
    table, seen, cursor = _listed(23), [], None

    while True:
        items, cursor = table.page("acme#job", limit, cursor)
        seen += [item["n"] for item in items]
        if cursor is None:
            break

    assert seen == list(range(22, -1, -1))


def _cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


OWN = {"pk": "acme#job#5", "sk": "body", "list_pk": "acme#job", "list_sk": "0005"}
DEEP = base64.urlsafe_b64encode(b"[" * 1500).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *(_cursor(OWN | {name: value}) for name in OWN for value in ("", 7, None, "other#job", "\ud800")),
        *(_cursor(value) for value in (None, 7, "x", [], list(OWN), {}, OWN | {"more": "x"})),
        _cursor({name: value for name, value in OWN.items() if name != "sk"}),
        *("é", "%%%", "a", "AAAA", "💥", DEEP, "=" * 40),
    ],
)
def test_a_cursor_that_is_not_of_this_list_is_refused_in_one_sentence(cursor: str) -> None:
    table = _listed(9)
    try:
        items, _ = table.page("acme#job", 100, cursor)
    except InvalidInput as error:
        assert str(error) == "That cursor is not one of this list; begin again without it."
    else:  # another place in the same list shows nothing that the caller does not own
        assert all(item["pk"].startswith("acme#") for item in items)


def test_another_tenants_cursor_is_refused() -> None:
    _, cursor = _listed(9).page("other#job", 3)

    with pytest.raises(InvalidInput):
        _listed(9).page("acme#job", 3, cursor)


def test_a_cursor_that_dynamodb_refuses_is_the_callers_error() -> None:
    class Refusing(FakeDynamo):
        def query(self, **arguments: Any) -> Any:
            raise client_error("ValidationException", message="The provided starting key is invalid")

    table = Table(Refusing(), "t")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        table.page("acme#job", 3, _cursor(OWN))
    with pytest.raises(MillraceError) as without:
        table.page("acme#job", 3)
    assert without.value.status == 500


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(st.characters(codec="utf-8"))
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000)
    | st.sets(st.text(min_size=1), min_size=1, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner),
    max_leaves=12,
)


def _to_decimal(value: Any) -> Any:
    """Floats by their shortest text, as boto3 wants them; what no number is is left out."""
    if isinstance(value, float):
        if not math.isfinite(value) or abs(value) > _LARGEST:
            return None
        return Decimal(repr(value if abs(value) > _SMALLEST else 0.0))
    if isinstance(value, dict):
        plain = ((k, _to_decimal(v)) for k, v in value.items())
        return {k: v for k, v in plain if v is not None}
    return [_to_decimal(v) for v in value] if isinstance(value, (list, tuple)) else value


def _as_boto3_writes(item: dict[str, Any]) -> dict[str, Any]:
    plain = ((name, _to_decimal(value)) for name, value in item.items())
    return {name: TypeSerializer().serialize(value) for name, value in plain if value is not None}


@examples(400)
@given(st.dictionaries(st.text(), ANYTHING, max_size=4))
def test_what_is_written_here_is_what_boto3_writes(item: dict[str, Any]) -> None:
    try:
        told = _as_boto3_writes(item)
    except ArithmeticError as error:
        with pytest.raises(type(error)):
            encode(item)
        return

    assert encode(item) == told


def _numbered(count: int, owner: str) -> list[dict[str, Any]]:
    return [{"pk": f"a#datapoint#{n}", "sk": "body", "owner": owner, "n": n} for n in range(count)]


def test_many_items_are_put_as_one_by_one_and_what_stands_stays() -> None:
    table = Table(FakeDynamo(), "t")

    assert table.insert_all(_numbered(60, "first"), "owner") == [True] * 60
    assert table.insert_all(_numbered(80, "second"), "owner") == [False] * 60 + [True] * 20
    assert table.insert_all(_numbered(80, "first"), "owner") == [True] * 60 + [False] * 20
    assert [table.get(f"a#datapoint#{n}", "body") for n in (0, 79)] == [
        _numbered(1, "first")[0],
        _numbered(80, "second")[79],
    ]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", range(1, 5))
def test_whatever_goes_wrong_with_a_batch_a_repeat_finds_its_own(fault: Fault, number: int) -> None:
    dynamo = FakeDynamo()
    Table(dynamo, "t").insert_all(_numbered(10, "other"), "owner")
    try:
        Table(Faulty(dynamo, Plan({number: fault})), "t").insert_all(_numbered(60, "us"), "owner")
    except Unavailable:
        pass

    assert Table(dynamo, "t").insert_all(_numbered(60, "us"), "owner") == [False] * 10 + [True] * 50


def test_a_part_of_a_batch_that_is_put_off_comes_again_alone() -> None:
    class Busy(FakeDynamo):
        sizes: list[int]

        def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
            self.sizes = [*getattr(self, "sizes", []), len(Statements)]
            if len(self.sizes) > 1:
                return super().batch_execute_statement(Statements=Statements)
            done = super().batch_execute_statement(Statements=Statements[:10])["Responses"]
            return {"Responses": [*done, *[{"Error": {"Code": "ThrottlingError"}}] * (len(Statements) - 10)]}

    busy = Busy()

    assert Table(busy, "t", pause=lambda s: None).insert_all(_numbered(25, "us"), "owner") == [True] * 25
    assert busy.sizes == [25, 15]


def test_a_batch_that_is_put_off_for_ever_is_throttled_and_one_that_is_refused_says_why() -> None:
    def answering(code: str) -> Table:
        class Saying(FakeDynamo):
            def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
                return {"Responses": [{"Error": {"Code": code, "Message": "so it is"}} for _ in Statements]}

        return Table(Saying(), "t", pause=lambda s: None)

    with pytest.raises(Throttled):
        answering("ThrottlingError").insert_all(_numbered(3, "us"), "owner")
    with pytest.raises(MillraceError, match="ValidationError: so it is"):
        answering("ValidationError").insert_all(_numbered(3, "us"), "owner")


@pytest.mark.usefixtures("embedded")
def test_moto_s_batches_are_the_fake_s(embedded: dict[str, str]) -> None:
    from millrace import aws

    moto = Table(aws.dynamodb(), embedded["MILLRACE_TABLE"])

    assert moto.insert_all(_numbered(30, "first"), "owner") == [True] * 30
    assert moto.insert_all(_numbered(40, "second"), "owner") == [False] * 30 + [True] * 10
