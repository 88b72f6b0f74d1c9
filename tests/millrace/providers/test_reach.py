from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from millrace.addresses import Allowed
from millrace.catalogue import RULES, Entry
from millrace.errors import Declined, ProviderRefused, Unavailable
from millrace.keys import Keys
from millrace.providers import PROVIDERS, Ask, Message, Talk, _module, chat, health, obstacle
from millrace.providers import openai as openai_provider
from millrace.providers import reach as reach_module
from millrace.providers.reach import Reach
from millrace.settings import Providers

from tests.millrace.providers.conftest import CANARY, TEXT, FakeSecrets
from tests.providers_server import ProviderServer, Script

TALK = Talk((Message("system", "Edit."), Message("user", TEXT)), 100, 0.4, ("END",), 7)


def _reach(secret: dict[str, object], allowed: str = "") -> Reach:
    return Reach(Keys(lambda: FakeSecrets(secret), "keys"), Allowed.parse(allowed))  # type: ignore[arg-type, return-value]


def test_a_provider_without_a_key_is_unavailable_with_the_reason_and_nothing_is_imported() -> None:
    reach = _reach({})
    for name, spec in PROVIDERS.items():
        if not spec.key:
            continue
        entry = Entry("m", name)
        assert reach.obstacle(entry) == f"There is no key: put {spec.key} into the secret keys."
        with pytest.raises(ProviderRefused, match=spec.key):
            _module(name).chat(entry, TALK, 5.0, reach)
    assert not reach._loaded
    assert reach.obstacle(RULES) is None and reach.obstacle(Entry("o", "own", endpoint="e")) is None


def test_no_sdk_and_no_http_client_is_imported_until_a_model_is_called() -> None:
    program = (
        "import sys, millrace.humanize, millrace.seeds, millrace.prices, millrace.breakers, millrace.retries\n"
        "from millrace.providers import provider, PROVIDERS\n"
        "[provider(name) for name in ('rules', 'own')]\n"
        "heavy = {'openai', 'anthropic', 'google.genai', 'httpx', 'httpx2', 'genai_prices', 'tenacity'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_shared())

    assert done.stdout.strip() == "[]"


def _shared() -> str:
    import millrace

    return millrace.__path__[0].rsplit("/", 1)[0]


def test_a_row_cannot_lead_a_providers_key_elsewhere() -> None:
    reach = _reach({"OPENAI_API_KEY": CANARY, "MINE": {"key": CANARY, "host": "llm.example.com"}})
    own = Entry("m", "openai", base_url="https://evil.example.com/v1")
    stolen = Entry("m", "custom", base_url="https://evil.example.com/v1", secret="OPENAI_API_KEY")
    moved = Entry("m", "custom", base_url="https://evil.example.com/v1", secret="MINE")

    assert reach.url(own) == "https://api.openai.com/v1"
    for entry in (stolen, moved):
        with pytest.raises(ProviderRefused):
            reach.key(entry)
        assert reach.obstacle(entry)
    assert reach.obstacle(replace(moved, base_url="https://llm.example.com/v1")) is None


@pytest.mark.parametrize("url", [None, "http://llm.example.com", "https://127.0.0.1", "https://169.254.169.254/latest"])
def test_a_custom_endpoint_that_must_not_be_reached_says_why(url: str | None) -> None:
    assert "cannot be reached" in str(_reach({}).obstacle(Entry("m", "custom", base_url=url))) or url is None


def test_a_name_that_resolves_inside_is_refused_when_it_is_called(server: ProviderServer) -> None:
    port = server.server_address[1]
    entry = Entry("m", "custom", base_url=f"https://localhost:{port}/v1")

    with pytest.raises(ProviderRefused, match="not public"):
        openai_provider.chat(entry, TALK, 5.0, _reach({}))
    assert server.seen == []


def test_an_operators_proxy_takes_the_place_of_a_providers_host() -> None:
    told = "openai=https://proxy.example.com/v1, groq=http://10.0.0.7/v1"
    reach = Reach.of(Providers(provider_secret="s", provider_urls=told))

    assert reach.url(Entry("m", "openai")) == "https://proxy.example.com/v1"
    assert reach._allowed().host("10.0.0.7", 80)
    assert reach.url(Entry("m", "anthropic")) == "https://api.anthropic.com"


def test_a_request_holds_what_the_rows_capabilities_allow(
    server: ProviderServer, reach: Reach, entries: dict[str, Entry]
) -> None:
    for name in ("openai", "anthropic", "google", "groq"):
        _module(name).chat(entries[name], TALK, 20.0, reach)
    modern, claude, gemini, groq = (seen.body for seen in server.seen)

    assert "temperature" not in modern and "seed" not in modern and "max_tokens" not in modern
    assert (modern["max_completion_tokens"], modern["reasoning_effort"], modern["stop"]) == (100, "low", ["END"])
    assert not {"temperature", "top_p", "top_k"} & set(claude) and claude["thinking"] == {"type": "disabled"}
    assert (claude["max_tokens"], claude["system"], claude["stop_sequences"]) == (100, "Edit.", ["END"])
    assert "temperature" not in gemini["generationConfig"] and gemini["generationConfig"]["maxOutputTokens"] == 100
    assert list(gemini["generationConfig"]["thinkingConfig"].values()) == ["LOW"]
    assert (groq["temperature"], groq["max_tokens"], groq["model"]) == (0.4, 100, "openai/gpt-oss-20b")


def test_a_key_travels_in_its_providers_header_and_nothing_else_of_ours_does(
    server: ProviderServer, reach: Reach, entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    for name in ("openai", "anthropic", "google", "custom", "gguf"):
        _module(name).chat(entries[name], TALK, 20.0, reach)
    headers = [seen.headers for seen in server.seen]

    assert [h.get("authorization") for h in headers] == [
        f"Bearer {CANARY}",
        f"Bearer {CANARY}",
        None,
        f"Bearer {CANARY}",
        None,
    ]
    assert headers[2]["x-goog-api-key"] == CANARY and "x-api-key" not in headers[1]
    assert not any("environment" in str(h) for h in headers)


def test_health_asks_the_back_end_itself_and_never_raises(
    server: ProviderServer, reach: Reach, entries: dict[str, Entry]
) -> None:
    for entry in entries.values():
        server.begin()
        assert _module(entry.provider).health(entry, 20.0, reach).ok, entry.id
        server.script = Script.UNAVAILABLE
        sick = _module(entry.provider).health(entry, 20.0, reach)
        assert not sick.ok and sick.text, entry.id


def test_torchserves_management_is_asked_on_the_predictions_host_alone(reach: Reach, entries: dict[str, Entry]) -> None:
    moved = replace(entries["torchserve"], capabilities={"management": "https://evil.example.com"})

    assert "another host" in _module("torchserve").health(moved, 5.0, reach).text


def test_the_front_door_uses_this_processs_reach(
    server: ProviderServer, reach: Reach, entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach_module, "reach", lambda: reach)

    assert TEXT in chat(entries["custom"], TALK, 20.0).text
    assert obstacle(entries["custom"]) is None and health(entries["custom"], 20.0).ok and health(RULES, 1.0).ok
    with pytest.raises(Declined):
        chat(entries["torchserve"], TALK, 20.0)


def test_loading_an_sdk_takes_no_longer_than_there_is_time(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    released = threading.Event()
    monkeypatch.setattr(reach_module, "import_module", lambda name: released.wait(20))
    try:
        with pytest.raises(Unavailable, match="still being loaded"):
            reach.sdk(Entry("m", "gguf", base_url="https://llm.example.com"), "anthropic", 0.1)
    finally:
        released.set()


def test_one_client_serves_one_key_and_url(reach: Reach, entries: dict[str, Entry]) -> None:
    built: list[str] = []
    for _ in range(3):
        reach.client("x", entries["openai"], lambda key, url, http: built.append(url) or object())

    assert len(built) == 1
    assert Ask("x").strength == "medium"
