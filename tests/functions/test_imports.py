"""What a cold start pays for: counted in modules, since time depends on the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT

ROOT = Path(__file__).parents[2]
HEAVY = {"openai", "anthropic", "google.genai", "genai_prices", "httpx", "httpx2", "numpy", "torch", "duckdb", "moto"}
CEILINGS = {
    "functions.gateway.handler": 490,
    "functions.authorize.handler": 210,
    "functions.rewrite.handler": 560,
    "functions.ingest.handler": 505,
    "functions.index.handler": 270,
    "functions.export.handler": 460,
    "functions.monitor.handler": 370,
    "functions.progress.handler": 320,
    "functions.unpack.handler": 440,
    "functions.steps.plan": 390,
    "functions.steps.gate": 450,
    "functions.steps.register": 450,
    "functions.steps.deploy": 390,
    "functions.steps.conclude": 240,
    "functions.steps.judge": 500,
    "functions.propose.handler": 570,
}
"""Modules at most, a thirtieth over what there are."""


def _modules(imported: str) -> set[str]:
    """What is loaded in a fresh interpreter after this import, without the environment's own start-up files."""
    code = f"import {imported}, json, sys; print(json.dumps(sorted(sys.modules)))"
    places = [str(ROOT), str(ROOT / "shared"), *(place for place in sys.path if place.endswith("site-packages"))]
    environment = ENVIRONMENT | {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("handler", CEILINGS)
def test_a_cold_start_loads_no_heavy_package_and_stays_under_its_ceiling(handler: str) -> None:
    loaded = _modules(handler)

    assert not HEAVY & loaded
    assert len(loaded) <= CEILINGS[handler], f"{handler} loads {len(loaded)} modules"


@pytest.mark.parametrize("handler", ["gateway.handler", "authorize.handler", "index.handler", "monitor.handler"])
def test_who_asks_the_table_alone_loads_no_boto3(handler: str) -> None:
    assert not {"boto3", "botocore.session", "urllib3"} & _modules(f"functions.{handler}")


def test_the_gateway_loads_no_router_before_it_is_asked() -> None:
    assert not [name for name in _modules("functions.gateway.handler") if "routers." in name]


def test_every_function_has_a_ceiling() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/handler.py")}
    steps = {path.stem for path in (ROOT / "functions" / "steps").glob("*.py") if "def handler" in path.read_text()}

    assert steps and {f"functions.{name}.handler" for name in folders} | {
        f"functions.steps.{name}" for name in steps
    } == set(CEILINGS)


def test_a_heavy_package_would_be_seen() -> None:
    assert "genai_prices" in _modules("genai_prices")
