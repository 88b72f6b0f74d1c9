"""What fails of a batch comes again, and nothing else."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from millrace.errors import Unavailable


def _record(number: int, body: str) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(number)}
    return {"messageId": f"m{number}", "body": body, "receiptHandle": "r", "attributes": attributes}


def _work(record: SQSRecord) -> None:
    if record["body"] == "away":
        raise Unavailable("S3 does not answer.")
    if record["body"] == "wrong":
        raise KeyError("a text of somebody's")


@pytest.mark.parametrize(
    ("bodies", "failed"),
    [(["good", "away", "wrong", "good"], ["m1", "m2"]), (["good"], []), (["away", "wrong"], ["m0", "m1"])],
)
def test_who_failed_is_named_whether_some_did_or_all(
    environment: dict[str, str], bodies: list[str], failed: list[str]
) -> None:
    from functions import batch

    told = batch.each({"Records": [_record(number, body) for number, body in enumerate(bodies)]}, _work)

    assert told == {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}


def test_what_nobody_foresaw_is_told_without_its_words(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    from functions import batch

    with caplog.at_level(logging.INFO):
        batch.each({"Records": [_record(1, "away"), _record(2, "wrong")]}, _work)

    assert [entry.msg for entry in caplog.records] == ["record failed"] and "somebody" not in caplog.text


def test_how_often_a_record_has_come(environment: dict[str, str]) -> None:
    from functions import batch

    assert batch.times(SQSRecord(_record(3, ""))) == 3
    assert batch.times(SQSRecord({"messageId": "m"})) == 1
