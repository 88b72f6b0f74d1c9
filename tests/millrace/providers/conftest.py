"""A scripted provider, and a Reach whose every provider lies there with a key that must never be seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from millrace.addresses import Allowed
from millrace.catalogue import Entry
from millrace.keys import Keys
from millrace.providers.reach import Reach

from tests.providers_server import ProviderServer, provider_server

CANARY = "sk-canary-4f7a91c2d3"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY")
TEXT = "The committee, in its wisdom, has decided to leverage 42 new synergies by 3 May 2026."


class FakeSecrets:
    """Secrets Manager as far as Keys needs it; records what was asked."""

    def __init__(self, value: Any) -> None:
        self.value, self.asked = value, 0

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        self.asked += 1
        return {"SecretString": self.value if isinstance(self.value, str) else json.dumps(self.value)}


@pytest.fixture(scope="session")
def _server() -> Iterator[ProviderServer]:
    with provider_server() as server:
        yield server


@pytest.fixture
def server(_server: ProviderServer) -> ProviderServer:
    """The one server of the session, with nothing left of the test before."""
    _server.begin()
    return _server


@pytest.fixture
def reach(server: ProviderServer) -> Reach:
    secret = {name: CANARY for name in KEYS} | {"MINE": {"key": CANARY, "host": "127.0.0.1"}}
    urls = {
        "openai": server.url("/v1"),
        "groq": server.url("/openai/v1"),
        "anthropic": server.url(),
        "google": server.url(),
    }
    return Reach(Keys(lambda: FakeSecrets(secret), "keys"), Allowed(frozenset({server.host})), urls)  # type: ignore[arg-type, return-value]


@pytest.fixture
def entries(server: ProviderServer) -> dict[str, Entry]:
    """One row a provider, each with the capabilities that such a row has."""
    modern = {"temperature": False, "limit": "max_completion_tokens", "effort": "low", "thinks": True}
    rows = [
        Entry("gpt-6-luna", "openai", capabilities=modern, context=1_050_000, max_output=128_000),
        Entry("claude-haiku-5-5", "anthropic", capabilities={"thinking": "disabled"}, max_output=128_000),
        Entry("gemini-3.8-flash", "google", capabilities={"thinking": "LOW", "thinks": True}, max_output=65_536),
        Entry("gpt-oss-20b", "groq", model="openai/gpt-oss-20b", max_output=65_536),
        Entry("served", "custom", base_url=server.url("/v1"), secret="MINE"),
        Entry("local", "gguf", base_url=server.url("/v1"), instruction="Rewrite it plainly."),
        Entry("half", "tfserving", base_url=server.url()),
        Entry("torch", "torchserve", base_url=server.url(), capabilities={"management": server.url()}),
    ]
    return {row.provider: row for row in rows}
