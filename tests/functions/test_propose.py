"""The step `propose` with the official wire of a provider, played on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from millrace import providers, seeds
from millrace.contract import Tier
from millrace.errors import InvalidInput
from millrace.jobs import Job, JobState
from millrace.providers.reach import Reach
from millrace.settings import Providers
from millrace.strategies import find
from millrace.tenants import Tenant

from tests.functions.conftest import CONTEXT
from tests.providers_server import Answer, ProviderServer, Script, provider_server

ACME = Tenant("acme", Tier.ENTERPRISE)
GOOD = {"blocks": [{"kind": "conv", "filters": 24}], "training": {"learning_rate": 0.003, "epochs": 4}}
NONSENSE = [
    "Here is a poem.",
    "import os\nos.system('id')",
    json.dumps([{"blocks": [{"kind": "conv", "filters": 10**8}]}]),
]


@dataclass
class Stage:
    models: ProviderServer
    handler: Any

    def propose(self) -> dict[str, Any]:
        event = {"tenant": "acme", "job_id": "j1", "attempt": 1}
        told: dict[str, Any] = self.handler(event, CONTEXT)
        return told


@pytest.fixture
def stage(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with provider_server() as models:
        from functions import parts
        from functions.propose import handler

        boto3.client("secretsmanager").create_secret(Name="keys", SecretString='{"GROQ_API_KEY": "gsk-test"}')
        reach = Reach.of(Providers(provider_secret="keys", provider_urls=f"groq={models.url('/openai/v1')}"))
        monkeypatch.setattr(providers, "_reach", lambda: reach)
        seeds.seed(parts.table(handler.settings))
        store = parts.store(handler.settings)
        channel = "tenants/acme/datasets/d1/channel/"
        store.put_json(channel + "dataset.json", {"classes": ["a", "b"], "samples": 90})
        store.put(channel + "index.jsonl", b'{"label": 0, "width": 8, "height": 8, "mode": "L"}\n')
        given = find("cnn-search").settle({"population": 2})
        job = Job("j1", JobState.PENDING, "cnn-search", 1, "reader", "2026-01-01T00:00:00.000Z", "person")
        from dataclasses import replace

        jobs = parts.jobs(handler.settings)
        assert jobs.create(ACME, replace(job, dataset_id="d1", hyperparameters=given))
        handler.advisers.cache_clear()
        yield Stage(models, handler.handler)
        handler.advisers.cache_clear()


def _says(stage: Stage, *texts: str) -> None:
    """What the model answers, one text after the other."""
    left = list(texts)
    stage.models.answer = lambda prompt: Answer(left.pop(0) if len(left) > 1 else left[0])


def _proposals(told: dict[str, Any]) -> dict[str, Any]:
    from functions import parts
    from functions.propose import handler

    (channel,) = [c for c in told["trials"]["channels"] if c["ChannelName"] == "proposals"]
    key = channel["DataSource"]["S3DataSource"]["S3Uri"].split("/", 3)[3]
    proposals: dict[str, Any] = parts.store(handler.settings).get_json(key + "proposals.json")
    return proposals


def test_groqs_successor_is_asked_and_its_networks_go_to_the_rounds_container(stage: Stage) -> None:
    _says(stage, json.dumps({"proposals": [GOOD]}))

    told = stage.propose()

    assert (told["kind"], told["number"]) == ("trials", 0) and told["trials"]["name"].endswith("-j1-1-trials0")
    made = _proposals(told)
    assert made["source"] == "llm" and made["specs"][0]["blocks"][0]["filters"] == 24
    assert stage.models.seen[0].body["model"] == "openai/gpt-oss-120b", "llama-3.3-70b-versatile was shut down"


def test_when_nothing_new_fits_the_finish_is_next(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: as the machine reads it."""
    from millrace import searching
    from millrace.history import Proposed

    monkeypatch.setattr(searching, "guided", lambda *_: Proposed([], "evolution", 0))
    with pytest.raises(InvalidInput, match="No network that was proposed fits"):
        stage.propose()
    monkeypatch.setattr(searching.Searching, "state", lambda *_: searching.State(began="2026-01-01", rounds=1))
    monkeypatch.setattr(searching.Searching, "history", lambda *_: [])

    assert stage.propose() == {"kind": "finish", "number": 1, "trials": {}}


def test_nonsense_code_and_huge_networks_are_refused_and_the_search_goes_on(stage: Stage) -> None:
    _says(stage, *NONSENSE)

    made = _proposals(stage.propose())

    assert made["source"] == "evolution" and len(made["specs"]) == 2 and len(made["refused"]) >= 3
    assert len(stage.models.seen) == 3


def test_a_model_that_says_nothing_or_fails_is_left_after_three_questions(stage: Stage) -> None:
    stage.models.script = Script.SERVER_ERROR

    assert _proposals(stage.propose())["source"] == "evolution"
