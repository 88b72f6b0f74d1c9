from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, HTTPClientError
from millrace.lean import IN_FLIGHT, Lean, signed
from millrace.table import Table

from tests.fakes import FakeDynamo, client_error
from tests.stub_aws import Stub, serving

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}


def _items(count: int) -> list[dict[str, Any]]:
    return [{"pk": f"a#datapoint#{n}", "sk": "body", "owner": "us", "text": "Grüße 🙂"} for n in range(count)]


def _lean(stub: Stub, pauses: list[float] | None = None) -> Lean:
    session = boto3.Session(**KEYS)  # type: ignore[arg-type]
    client = session.client("dynamodb", endpoint_url=stub.url)
    return Lean(client, session, pause=(pauses if pauses is not None else []).append)


def test_what_it_writes_is_what_boto3_writes_and_signs() -> None:
    with serving() as ours, serving() as theirs:
        Table(_lean(ours), "t").insert_all(_items(60), "owner")  # type: ignore[arg-type]
        client = boto3.client("dynamodb", endpoint_url=theirs.url, **KEYS)  # type: ignore[call-overload]
        Table(client, "t").insert_all(_items(60), "owner")

        assert ours.dynamo.items == theirs.dynamo.items and len(ours.dynamo.items) == 60
        assert ours.requests == theirs.requests
        for seen in (ours.seen, theirs.seen):
            assert seen.keys() >= SIGNED
            assert seen["authorization"].split(",")[0].endswith("/us-east-1/dynamodb/aws4_request")
        assert ours.seen["x-amz-target"] == theirs.seen["x-amz-target"]


SIGNED = {"authorization", "x-amz-date", "x-amz-target", "content-type"}


@pytest.mark.parametrize("token", [None, "session-token"])
def test_the_signature_is_botocore_s(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 20, 22, 5, 9, tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: at.replace(tzinfo=None))
    monkeypatch.setattr(time, "gmtime", lambda: at.timetuple())
    credentials, body = Credentials("AKID", "secret/+=", token), '{"a": "ü"}'.encode()

    ours = signed(credentials, "eu-west-1", "dynamodb.eu-west-1.amazonaws.com", "DynamoDB_20120810.X", body)

    sent = {name: ours[name] for name in ("content-type", "x-amz-target")}
    request = AWSRequest("POST", "https://dynamodb.eu-west-1.amazonaws.com/", data=body, headers=sent)
    auth.SigV4Auth(credentials, "dynamodb", "eu-west-1").add_auth(request)
    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours.get("x-amz-security-token") == token


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


def test_every_other_call_is_the_client_s_own() -> None:
    with serving() as stub:
        table = Table(_lean(stub), "t")  # type: ignore[arg-type]
        table.put(_items(1)[0])

        assert table.get("a#datapoint#0", "body") == _items(1)[0]


@pytest.mark.usefixtures("embedded")
def test_an_emulator_that_listens_to_boto3_answers_it_too(embedded: dict[str, str]) -> None:
    from millrace import aws

    lean = Lean(aws.dynamodb(), boto3.Session())

    assert Table(lean, embedded["MILLRACE_TABLE"]).insert_all(_items(30), "owner") == [True] * 30  # type: ignore[arg-type]
