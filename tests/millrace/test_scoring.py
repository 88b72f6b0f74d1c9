"""A text's measures with those of a deployed model's token probabilities."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import Any

import pytest
from millrace.contract import ModelState
from millrace.errors import Conflict, InvalidInput, MillraceError, NotFound, TooLarge, Unavailable
from millrace.scoring import MEASURES, Scoring
from millrace.serving import endpoint_name
from millrace.tenants import Tenant
from millrace.text.scores import score

from tests.millrace.test_classifying import ACME, Runtime, serving

TEXT = "We use 3 servers in Berlin."
ANSWER = {"object": "text.likelihood", "model": "m", "tokens": 8, "truncated": False} | {
    "mean_logprob": -2.5,
    "surprise_burstiness": 0.75,
    "token_likeness": 0.125,
}


def scoring(answer: Any = ANSWER, status: int = 200, data: str = "snapshot_id", **more: Any) -> tuple[Scoring, Runtime]:
    runtime = Runtime(answer, status)
    registry = serving(runtime, data=data, **more).registry
    return Scoring(registry, runtime, partial(endpoint_name, "test"), 5.0), runtime  # type: ignore[arg-type]


@pytest.mark.parametrize("id", ["digits", "digits@1"])
def test_a_texts_measures_come_with_those_of_the_models_tokens(id: str) -> None:
    """H10."""
    made, runtime = scoring()

    found = made.score(ACME, id, TEXT)

    assert found.scores == score(TEXT) | {name: ANSWER[name] for name in MEASURES}
    assert (found.model_id, found.tokens, found.truncated) == ("digits@1", 8, False)
    assert json.loads(runtime.asked[0]["Body"]) == {"score": TEXT, "timeout_s": 5.0}
    assert runtime.asked[0]["EndpointName"].startswith("millrace-test-acme")


@pytest.mark.parametrize(
    ("made", "text", "error"),
    [
        ({}, " ", InvalidInput),
        ({}, "\ud800", InvalidInput),
        ({}, "word " * 3_001, TooLarge),
        ({"data": "dataset_id"}, TEXT, InvalidInput),
        ({"state": ModelState.READY}, TEXT, Conflict),
        ({"answer": {"error": {"message": "The text has no token."}}, "status": 422}, TEXT, InvalidInput),
        ({"answer": {"tokens": 3}}, TEXT, Unavailable),
        ({"answer": b"no JSON"}, TEXT, Unavailable),
    ],
)
def test_what_cannot_be_scored_says_why(made: dict[str, Any], text: str, error: type[MillraceError]) -> None:
    with pytest.raises(error):
        scoring(**made)[0].score(ACME, "digits@1", text)


def test_another_tenants_model_looks_like_a_missing_one() -> None:
    with pytest.raises(NotFound):
        scoring()[0].score(Tenant("other"), "digits", TEXT)


def test_an_endpoint_that_hangs_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    made, runtime = scoring()
    monkeypatch.setattr(runtime, "invoke_endpoint", lambda **_: released.wait(20))

    with pytest.raises(Unavailable, match="did not answer within"):
        Scoring(made.registry, made.runtime, made.endpoint_name, 0.2).score(ACME, "digits", TEXT)
    released.set()
