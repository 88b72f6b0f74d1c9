"""What fails of a batch comes again, and nothing else: as Powertools, which does the same, tells Lambda."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from millrace.errors import Unavailable

BODIES = ["good", "away", "wrong", "good", "good"]


def _record(number: int, body: str) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(number)}
    return {"messageId": f"m{number}", "body": body, "receiptHandle": "r", "attributes": attributes}


def _work(body: str) -> None:
    if body == "away":
        raise Unavailable("S3 does not answer.")
    if body == "wrong":
        raise KeyError("a text of somebody's")


@pytest.mark.parametrize("bodies", [BODIES, ["good"], ["away", "wrong"]])
def test_the_reply_is_the_one_of_powertools(environment: dict[str, str], bodies: list[str]) -> None:
    from functions import batch

    event = {"Records": [_record(number, body) for number, body in enumerate(bodies)]}
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    theirs = process_partial_response(
        event=event, record_handler=lambda record: _work(record.body), processor=processor
    )

    assert batch.each(event, lambda record: _work(record["body"])) == theirs


def test_what_nobody_foresaw_is_told_without_its_words(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    from functions import batch

    with caplog.at_level(logging.INFO):
        batch.each({"Records": [_record(1, "away"), _record(2, "wrong")]}, lambda record: _work(record["body"]))

    assert [entry.msg for entry in caplog.records] == ["record failed"] and "somebody" not in caplog.text


def test_how_often_a_record_has_come(environment: dict[str, str]) -> None:
    from functions import batch

    assert (batch.times(_record(3, "")), batch.times({"messageId": "m"})) == (3, 1)
