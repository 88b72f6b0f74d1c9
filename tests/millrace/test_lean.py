from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, HTTPClientError
from millrace.errors import Conflict
from millrace.lean import IN_FLIGHT, Lean, Place, _body, place, signed
from millrace.table import Table, Write

from tests.fakes import FakeDynamo, client_error
from tests.stub_aws import Stub, serving

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
FUNCTION = {
    "AWS_LAMBDA_FUNCTION_NAME": "gateway",
    "AWS_ACCESS_KEY_ID": "AKID",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_REGION": "eu-west-1",
}


def _items(count: int) -> list[dict[str, Any]]:
    return [{"pk": f"a#datapoint#{n}", "sk": "body", "owner": "us", "text": "Grüße 🙂"} for n in range(count)]


_made: list[Lean] = []


@pytest.fixture(autouse=True)
def _hung_up() -> Iterator[None]:
    yield
    for connection in (kept for lean in _made for kept in lean._wire._idle):
        connection.close()
    _made.clear()


def _lean(stub: Stub, pauses: list[float] | None = None, service: str = "dynamodb") -> Any:
    there = Place(service, stub.url, "us-east-1", "x", "y")
    _made.append(Lean(there, pause=(pauses if pauses is not None else []).append))
    return _made[-1]


def _boto3(stub: Stub) -> Any:
    return boto3.client("dynamodb", endpoint_url=stub.url, **KEYS)  # type: ignore[call-overload]


def test_what_it_writes_is_what_boto3_writes_and_signs() -> None:
    with serving() as ours, serving() as theirs:
        Table(_lean(ours), "t").insert_all(_items(60), "owner")  # type: ignore[arg-type]
        Table(_boto3(theirs), "t").insert_all(_items(60), "owner")

        assert ours.dynamo.items == theirs.dynamo.items and len(ours.dynamo.items) == 60
        assert ours.requests == theirs.requests
        for seen in (ours.seen, theirs.seen):
            assert seen.keys() >= SIGNED
            assert seen["authorization"].split(",")[0].endswith("/us-east-1/dynamodb/aws4_request")
        assert ours.seen["x-amz-target"] == theirs.seen["x-amz-target"]


SIGNED = {"authorization", "x-amz-date", "x-amz-target", "content-type"}


@pytest.mark.parametrize("token", [None, "session-token"])
@pytest.mark.parametrize("service", ["dynamodb", "secretsmanager"])
def test_the_signature_is_botocore_s(service: str, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 20, 22, 5, 9, tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: at.replace(tzinfo=None))
    monkeypatch.setattr(time, "gmtime", lambda: at.timetuple())
    host, body = f"{service}.eu-west-1.amazonaws.com", '{"a": "ü"}'.encode()

    ours = signed(Place(service, f"https://{host}", "eu-west-1", "AKID", "secret/+=", token), host, "X", body)

    sent = {name: ours[name] for name in ("content-type", "x-amz-target")}
    request = AWSRequest("POST", f"https://{host}/", data=body, headers=sent)
    auth.SigV4Auth(Credentials("AKID", "secret/+=", token), service, "eu-west-1").add_auth(request)
    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours.get("x-amz-security-token") == token


class Deleting(FakeDynamo):
    def delete_item(self, *, Key: Any, **_: Any) -> Any:
        self.items.pop((Key["pk"]["S"], Key["sk"]["S"]))
        return {}


@dataclass
class Recording(Stub):
    """Keeps what it was asked, without the token that both clients draw for a transaction."""

    dynamo: Any = field(default_factory=Deleting)
    asked: list[Any] = field(default_factory=list)

    def call(self, target: str, body: dict[str, Any]) -> Any:
        token = body.pop("ClientRequestToken", None)
        assert bool(token) == target.endswith("TransactWriteItems")
        self.asked.append((target, json.loads(json.dumps(body))))
        return super().call(target, body)


def _everything(table: Table) -> list[Any]:
    """Every call that a table makes, and what came of it."""
    rich = {"n": 1.5, "none": None, "flag": True, "list": [1, "a"], "map": {"x": -2}, "bytes": b"\x00\xff", "set": {1}}
    table.put({"pk": "a#x#1", "sk": "body", "list_pk": "a#x", "list_sk": "1", **rich})
    told: list[Any] = [table.get("a#x#1", "body"), table.get("a#x#2", "body")]
    told.append(table.put_new({"pk": "a#x#1", "sk": "body", "late": True}))
    told.append(table.update(Write("update", "a#x#1", "body", {"n": 2, "flag": None}, add={"c": 3}), op="o1"))
    told.append(table.update(Write("update", "a#x#1", "body", {"n": 2}, expect={"n": 7}), op="o1"))
    for write in (Write("update", "a#x#1", "body", {"n": 2}, expect={"n": 7}), Write("put", "a#x#1", "body", new=True)):
        try:
            table.transact([write, Write("put", "a#x#3", "body", {"text": "Grüße"}, new=True)], op="o2")
        except Conflict as error:
            told.append(str(error))
    table.transact([Write("put", "a#x#4", "body", {"b": b"1"}, new=True), Write("delete", "a#x#9", "body")], op="o3")
    told.append(table.insert_all(_items(30), "owner"))
    told.append(table.get_all([("a#x#1", "body"), ("a#x#4", "body")], ("n", "b")))
    told += [table.query("a#x#1"), table.between("a#x#1", "a", "z"), table.newest("a#x#1", 5), table.page("a#x", 5)]
    table.delete("a#x#1", "body")
    return [*told, table.all("a#x")]


def test_every_call_of_a_table_is_asked_and_answered_as_by_boto3() -> None:
    with serving(Recording()) as ours, serving(Recording()) as theirs:
        told = _everything(Table(_lean(ours), "t"))
        by_boto3 = _everything(Table(_boto3(theirs), "t"))

    assert told == by_boto3 and told[0]["bytes"] == b"\x00\xff"
    assert isinstance(ours, Recording) and isinstance(theirs, Recording)
    assert ours.asked == theirs.asked and len({target for target, _ in ours.asked}) == 8


def test_half_a_surrogate_pair_is_written_as_boto3_writes_it() -> None:
    item = {"text": {"S": "\ud83d"}, "bytes": {"B": b"1"}}

    assert _body(item) == json.dumps(item | {"bytes": {"B": "MQ=="}}).encode()


def test_a_secret_is_read() -> None:
    class Secrets(Stub):
        def call(self, target: str, body: dict[str, Any]) -> Any:
            assert (target, body) == ("secretsmanager.GetSecretValue", {"SecretId": "keys"})
            return {"SecretString": "{}", "VersionStages": ["AWSCURRENT"]}

    with serving(Secrets()) as stub:
        assert _lean(stub, service="secretsmanager").get_secret_value(SecretId="keys")["SecretString"] == "{}"
        assert stub.seen["content-type"] == "application/x-amz-json-1.1"


def test_a_function_s_environment_tells_the_place_and_who_asks() -> None:
    there = place("dynamodb", FUNCTION)
    url = "https://dynamodb.eu-west-1.amazonaws.com"
    assert there == Place("dynamodb", url, "eu-west-1", "AKID", "secret", "token")
    assert "secret" not in repr(there) and "token" not in repr(there)

    twin = place("dynamodb", FUNCTION | {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/", "AWS_SESSION_TOKEN": ""})
    assert twin and (twin.url, twin.token) == ("http://127.0.0.1:4566", None)
    own = FUNCTION | {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://b"}
    found = [place(name, own) for name in ("dynamodb", "secretsmanager")]
    assert [there and there.url for there in found] == ["http://a", "http://b"]


@pytest.mark.parametrize("service", ["dynamodb", "secretsmanager"])
def test_the_endpoint_of_every_region_is_botocore_s(service: str) -> None:
    session = boto3.Session()
    regions = session.get_available_regions(service) + session.get_available_regions(service, "aws-us-gov")
    assert len(regions) > 20
    for region in regions:
        there = place(service, FUNCTION | {"AWS_REGION": region})
        client = boto3.client(service, **(KEYS | {"region_name": region}))  # type: ignore[call-overload]
        assert there and there.url == client.meta.endpoint_url


@pytest.mark.parametrize(
    "other",
    [
        {"AWS_LAMBDA_FUNCTION_NAME": ""},
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_REGION": ""},
        {"AWS_REGION": "cn-north-1"},
        {"AWS_REGION": "us-iso-east-1"},
        {"AWS_REGION": "us-isob-east-1"},
        {"AWS_REGION": "eu-isoe-west-1"},
        {"AWS_REGION": "eusc-de-east-1"},
        {"AWS_REGION": "us-east-1.example.com/"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"HTTPS_PROXY": "http://proxy:3128"},
    ],
)
def test_elsewhere_it_is_boto3_that_asks(other: dict[str, str]) -> None:
    assert place("dynamodb", FUNCTION | other) is None


def test_a_function_that_asks_the_table_alone_never_loads_boto3() -> None:
    code = """
import sys
from millrace import aws
from millrace.table import Table
table = Table(aws.dynamodb(), "t")
table.put({"pk": "a#x#1", "sk": "body", "n": 1.5, "bytes": b"1"})
assert table.get("a#x#1", "body") == {"pk": "a#x#1", "sk": "body", "n": 1.5, "bytes": b"1"}
assert aws.s3() is aws.s3()
assert not {name.partition(".")[0] for name in sys.modules} & {"boto3", "botocore", "urllib3"}
"""
    with serving() as stub:
        environment = FUNCTION | {"AWS_ENDPOINT_URL": stub.url, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-S", "-c", code], env=environment, check=True, timeout=60)


class Failing(FakeDynamo):
    def __init__(self, *errors: ClientError) -> None:
        super().__init__()
        self.errors = list(errors)

    def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return super().batch_execute_statement(Statements=Statements)


def test_what_passes_is_tried_again_and_what_does_not_is_said_as_boto3_says_it() -> None:
    pauses: list[float] = []
    with serving(Stub(Failing(*[client_error("ThrottlingException")] * 2))) as stub:
        assert Table(_lean(stub, pauses), "t").insert_all(_items(3), "owner") == [True] * 3  # type: ignore[arg-type]
        assert len(pauses) == 2 and pauses[0] <= 1 and pauses[1] <= 2
    with serving(Stub(Failing(*[client_error("ThrottlingException")] * 3))) as stub:
        with pytest.raises(ClientError, match="ThrottlingException"):
            _lean(stub).batch_execute_statement(Statements=[])
    with serving(Stub(Failing(client_error("ValidationException")))) as stub:
        with pytest.raises(ClientError, match="ValidationException"):
            _lean(stub).batch_execute_statement(Statements=[])
        assert stub.served == 1


class Numbered(FakeDynamo):
    """Answers with what it was asked for, and fails as it is told before that."""

    def __init__(self, failing: set[int]) -> None:
        super().__init__()
        self.failing = failing

    def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
        (number,) = Statements
        if number in self.failing:
            self.failing.remove(number)
            raise client_error("ThrottlingException")
        return {"Responses": [number]}


def test_many_batches_are_answered_in_their_order_with_a_few_under_way_whichever_of_them_fails() -> None:
    pauses: list[float] = []
    with serving(Stub(Numbered({0, 7, 19}))) as stub:
        lean, made = _lean(stub, pauses), list[int]()

        def batches() -> Iterator[list[Any]]:
            for number in range(20):
                made.append(number)
                yield [number]

        answers = lean.execute_batches(batches())
        assert next(answers) == {"Responses": [0]}
        assert made == list(range(IN_FLIGHT))
        assert [reply["Responses"] for reply in answers] == [[number] for number in range(1, 20)]
        assert stub.served == 23 and len(pauses) == 3


def test_kept_connections_that_were_closed_meanwhile_cost_nothing_but_new_ones() -> None:
    pauses: list[float] = []
    with serving(Stub(Numbered(set()))) as stub:
        lean = _lean(stub, pauses)
        assert len(list(lean.execute_batches([number] for number in range(20)))) == 20
        kept = list(lean._wire._idle)
        assert len(kept) == IN_FLIGHT
        for connection in kept:
            connection.shutdown(socket.SHUT_RDWR)

        assert [reply["Responses"] for reply in lean.execute_batches([n] for n in range(20))] == [
            [n] for n in range(20)
        ]
        assert not pauses


def test_what_is_under_way_when_a_batch_is_refused_is_closed_and_not_kept() -> None:
    class Refusing(FakeDynamo):
        def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
            raise client_error("ValidationException")

    with serving(Stub(Refusing())) as stub:
        lean = _lean(stub)
        with pytest.raises(ClientError, match="ValidationException"):
            list(lean.execute_batches([number] for number in range(20)))
        assert len(lean._wire._idle) == 1  # of the batch whose answer was read


def test_nobody_there_is_said_after_three_tries() -> None:
    pauses: list[float] = []
    with serving() as stub:
        lean = _lean(stub, pauses)
    with pytest.raises(HTTPClientError):
        lean.batch_execute_statement(Statements=[])
    assert len(pauses) == 2
