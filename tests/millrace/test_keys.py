from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest
from millrace.errors import ProviderRefused, Unavailable
from millrace.keys import TTL_S, Keys, Secret

CANARY = "sk-canary-4f7a91c2d3"


class FakeSecrets:
    def __init__(self, value: str) -> None:
        self.value, self.asked, self.broken = value, 0, False

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        self.asked += 1
        if self.broken:
            raise Unavailable("Secrets Manager is away")
        return {"SecretString": self.value}


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def _keys(value: object) -> tuple[Keys, FakeSecrets, Clock]:
    fake, clock = FakeSecrets(value if isinstance(value, str) else json.dumps(value)), Clock()
    return Keys(lambda: fake, "provider-keys", clock), fake, clock  # type: ignore[arg-type, return-value]


def test_a_secret_shows_itself_to_reveal_alone(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(CANARY)
    logging.getLogger("x").warning("%s %r %s", secret, secret, {"key": secret})
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", repr([secret]), caplog.text]

    assert not any(CANARY in text for text in shown)
    assert secret.reveal() == CANARY
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)


def test_keys_are_read_once_and_again_after_a_while() -> None:
    keys, fake, clock = _keys({"OPENAI_API_KEY": CANARY})

    assert [keys.get("OPENAI_API_KEY") for _ in range(3)] == [Secret(CANARY)] * 3
    assert fake.asked == 1
    fake.value, clock.at = json.dumps({"OPENAI_API_KEY": "new"}), TTL_S + 1
    assert keys.get("OPENAI_API_KEY") == Secret("new")


def test_a_secret_that_cannot_be_read_leaves_the_last_one_standing() -> None:
    keys, fake, clock = _keys({"OPENAI_API_KEY": CANARY})
    keys.get("OPENAI_API_KEY")
    fake.broken, clock.at = True, TTL_S + 1

    assert keys.get("OPENAI_API_KEY") == Secret(CANARY)
    fake.broken, fake.value = False, json.dumps({})
    clock.at += 11
    assert keys.get("OPENAI_API_KEY") is None


@pytest.mark.parametrize("value", ["", "[]", "not json", '{"OPENAI_API_KEY": 7}', '{"OPENAI_API_KEY": ""}', "null"])
def test_a_missing_key_is_a_reason_that_names_what_to_do(value: str) -> None:
    keys, _, _ = _keys(value)

    with pytest.raises(ProviderRefused, match="put OPENAI_API_KEY into the secret provider-keys"):
        keys.require("OPENAI_API_KEY")


def test_an_endpoints_key_goes_to_its_own_host_alone_and_a_providers_key_to_no_endpoint() -> None:
    keys, _, _ = _keys(
        {"MINE": {"key": CANARY, "host": "LLM.example.com"}, "OPENAI_API_KEY": CANARY, "LOOSE": {"key": CANARY}}
    )

    assert keys.require("MINE", "llm.example.com").reveal() == CANARY
    for name, host in (
        ("MINE", "evil.example.com"),
        ("MINE", None),
        ("OPENAI_API_KEY", "evil.example.com"),
        ("LOOSE", "a.b"),
    ):
        with pytest.raises(ProviderRefused) as raised:
            keys.require(name, host)
        assert CANARY not in "".join(traceback.format_exception(raised.value))
    assert CANARY not in repr(keys) and keys.scrub(f"a {CANARY} b") == "a *** b"
