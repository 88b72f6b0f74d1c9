"""OpenAI's own client, pointed at the gateway: what it gets, and which of its errors it raises."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import httpx
import openai
import pytest
from millrace import aws, providers, seeds
from millrace.access import Access, fresh_key
from millrace.breakers import Breakers
from millrace.catalogue import Catalogue, Entry
from millrace.contract import Tier
from millrace.prices import charge
from millrace.providers import Completion
from millrace.providers.reach import Reach
from millrace.settings import Providers
from millrace.table import Table
from millrace.tenants import Tenant

from tests.loopback import DEMO, Served, served
from tests.providers_server import Answer, ProviderServer, Script, provider_server

TEXT = "Moreover, it is important to note that we utilize 3 servers in Berlin."
FAITHFUL = "We use 3 servers in Berlin."
OWN = Entry("clear@1", "own", endpoint="e-clear", label="Clear")
LOCAL = Entry("half@1", "tfserving", base_url="https://half.example.com")
USER = [{"role": "user", "content": TEXT}]


@dataclass
class Endpoint:
    """SageMaker's runtime, as the serve container answers."""

    says: str = FAITHFUL
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke_endpoint(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(json.loads(arguments["Body"]))
        choice = {"message": {"content": self.says}, "finish_reason": "stop"}
        body = {"choices": [choice], "usage": {"prompt_tokens": 21, "completion_tokens": 9}}
        return {"Body": io.BytesIO(json.dumps(body).encode())}


@dataclass
class Stage:
    api: Served
    models: ProviderServer
    endpoint: Endpoint
    table: Table

    def client(self, tenant: Tenant = DEMO) -> openai.OpenAI:
        key = fresh_key()
        Access(self.table).grant(key, tenant)
        return openai.OpenAI(api_key=key, base_url=f"{self.api.url}/v1", max_retries=0)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The whole API with the seeded catalogue; OpenAI's and Groq's models lie on loopback, the others have no key."""
    with served() as api, provider_server() as models:
        from functions import parts
        from functions.gateway import answering
        from functions.gateway.routers import openai as router

        name = "millrace-test-keys"
        keys = {"OPENAI_API_KEY": "sk-test", "GROQ_API_KEY": "gsk-test"}
        boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(keys))
        urls = f"openai={models.url('/v1')},groq={models.url('/openai/v1')}"
        reach = Reach.of(Providers(provider_secret=name, provider_urls=urls))
        monkeypatch.setattr(providers, "_reach", lambda: reach)
        endpoint = Endpoint()
        monkeypatch.setattr(aws, "sagemaker_runtime", lambda: endpoint)
        table = parts.table(api.settings)
        seeds.seed(table)
        Catalogue(table).publish(DEMO, OWN)
        once = (answering.calls, answering.catalogue, answering.humanizer, router.talking)
        for made in once:
            made.cache_clear()
        yield Stage(api, models, endpoint, table)
        for made in once:
            made.cache_clear()


def _chat(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(**({"model": model, "messages": USER} | more))


def _gathered(stream: Any) -> tuple[str, list[Any]]:
    chunks = list(stream)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), chunks


def test_rules_rewrite_the_last_message_of_the_user_whole_and_as_a_stream(stage: Stage) -> None:
    client = stage.client()
    talk = [{"role": "system", "content": "Shout."}, {"role": "user", "content": "No."}, *USER]

    whole = _chat(client, "rules", messages=[*talk, {"role": "assistant", "content": "We"}])
    text, chunks = _gathered(_chat(client, "rules", stream=True))

    assert (whole.object, whole.model, whole.choices[0].finish_reason) == ("chat.completion", "rules", "stop")
    assert text == whole.choices[0].message.content and "3 servers in Berlin" in text and text != TEXT
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert whole.model_extra["decision_id"] and whole.model_extra["reasons"][0]["code"] == "answered"
    assert stage.models.seen == []


def test_a_rewrite_bears_the_strength_and_tone_that_are_asked_for(stage: Stage) -> None:
    client, text = stage.client(), [{"role": "user", "content": "I'm sure that we do not have the report."}]

    formal = _chat(client, "rules", messages=text, extra_body={"tone": "formal", "strength": "strong"})
    plain = _chat(client, "rules", messages=text, extra_body={"tone": "plain", "strength": "strong"})

    assert formal.choices[0].message.content != plain.choices[0].message.content


def test_auto_is_answered_by_a_model_with_its_own_counts_and_price(stage: Stage) -> None:
    stage.models.answer = lambda prompt: Answer(FAITHFUL, 150, 30, 20)

    answer = _chat(stage.client(), "auto")

    assert answer.choices[0].message.content == FAITHFUL
    row = next(entry for entry in seeds.entries() if entry.id == answer.model)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (150, 30, 180)
    paid = charge(row, Completion(FAITHFUL, 150, 30, 20)).cost_usd
    assert answer.usage.model_extra["cost_usd"] == pytest.approx(paid, rel=0.2) and paid > 0


def test_a_named_rewriter_answers_alone_and_is_held_to_the_text(stage: Stage) -> None:
    client = stage.client()

    assert _chat(client, "humanize/clear@1").choices[0].message.content == FAITHFUL
    assert _gathered(_chat(client, "humanize/clear@1", stream=True))[0] == FAITHFUL
    stage.endpoint.says = "We use 5 servers in Paris."
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        _chat(client, "humanize/clear@1")

    body: Any = refused.value.body
    assert body["code"] == "unfaithful" and body["draft"] == "We use 5 servers in Paris."
    assert {"number"} <= {violation["kind"].rstrip("s") for violation in body["violations"]}


def test_any_other_id_is_plain_chat_with_that_model_priced_and_not_verified(stage: Stage) -> None:
    stage.models.answer = lambda prompt: Answer("Paris has 5.", 12, 4, 0)
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]

    said = _chat(stage.client(), "gpt-6-luna", messages=talk, max_tokens=50, stop="END", user="u", logit_bias={"1": 2})

    assert (said.choices[0].message.content, said.model) == ("Paris has 5.", "gpt-6-luna")
    row = next(entry for entry in seeds.entries() if entry.id == "gpt-6-luna")
    assert said.usage.model_extra["cost_usd"] == charge(row, Completion("", 12, 4)).cost_usd > 0
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (12, 4)
    (seen,) = stage.models.seen
    assert [message["content"] for message in seen.body["messages"]] == ["Be brief.", "Hi"]
    assert seen.headers["authorization"] == "Bearer sk-test"


def test_plain_chat_streams_its_pieces_and_the_usage_that_was_asked_for(stage: Stage) -> None:
    stage.models.answer = lambda prompt: Answer("One two three four five six seven eight nine ten.", 12, 10, 0)
    client = stage.client()

    text, chunks = _gathered(_chat(client, "gpt-6-luna", stream=True, stream_options={"include_usage": True}))
    without = list(_chat(client, "gpt-6-luna", stream=True))

    assert text == "One two three four five six seven eight nine ten." and len(chunks) > 4
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 22)
    assert all(chunk.usage is None for chunk in without) and without[-1].choices[0].finish_reason == "stop"


def test_a_model_of_the_tenants_own_chats_too(stage: Stage) -> None:
    client = stage.client()
    stage.endpoint.says = "Good day."

    whole = _chat(client, "clear@1", messages=[{"role": "user", "content": "Hello"}])
    text, _ = _gathered(_chat(client, "clear@1", stream=True))

    assert whole.choices[0].message.content == text == "Good day."
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.model_extra) == (
        21,
        9,
        {"cost_usd": 0.0},
    )
    assert stage.endpoint.asked[0]["messages"] == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("model", ["gpt-99", "humanize/gpt-99", "clear@9"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_nobody_has_is_not_found(stage: Stage, model: str, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        _chat(stage.client(), model, stream=stream)

    assert (missing.value.code, missing.value.type, missing.value.param) == (
        "model_not_found",
        "invalid_request_error",
        "model",
    )
    assert model.removeprefix("humanize/") in str(missing.value)


def test_another_tenants_model_is_not_found_and_one_above_the_tier_is_forbidden(stage: Stage) -> None:
    with pytest.raises(openai.NotFoundError):
        _chat(stage.client(Tenant("other", Tier.ENTERPRISE)), "clear@1")
    with pytest.raises(openai.PermissionDeniedError):
        _chat(stage.client(replace(DEMO, tier=Tier.BASIC)), "gpt-6.1-sol")


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_answer_now_is_a_503_that_says_why(stage: Stage, stream: bool) -> None:
    client = stage.client()

    with pytest.raises(openai.InternalServerError, match="ANTHROPIC_API_KEY") as keyless:
        _chat(client, "claude-haiku-5-5", stream=stream)
    with pytest.raises(openai.InternalServerError, match="its successor is gpt-oss-120b") as gone:
        _chat(client, "llama-3.3-70b-versatile", stream=stream)
    stage.models.script = Script.UNAVAILABLE
    with pytest.raises(openai.InternalServerError, match="gpt-6-luna asks to be called less often") as sick:
        _chat(client, "gpt-6-luna", stream=stream)

    assert {error.value.status_code for error in (keyless, gone, sick)} == {503}
    assert keyless.value.response.headers["x-should-retry"] == "false"
    assert sick.value.response.headers["retry-after"] == "5" and "x-should-retry" not in sick.value.response.headers


def test_a_stream_that_breaks_off_says_so_to_the_client(stage: Stage) -> None:
    stage.models.answer = lambda prompt: Answer("word " * 400)
    stage.models.script = Script.HALF_BODY

    with pytest.raises(openai.APIError, match="gpt-6-luna"):
        _gathered(_chat(stage.client(), "gpt-6-luna", stream=True))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "content"),
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 3}, "n:"),
    ],
)
def test_a_request_that_is_none_is_a_bad_request_that_names_the_field(
    stage: Stage, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=says) as bad:
        _chat(stage.client(), "rules", **more)

    assert bad.value.type == "invalid_request_error" and bad.value.param


@pytest.mark.parametrize("stop", ["\ud800", ["END", "\ud800"], "a" * 1_001])
def test_a_stop_that_is_none_is_a_bad_request_that_no_breaker_counts(stage: Stage, stop: Any) -> None:
    """H6, H13."""
    body = {"model": "gpt-6-luna", "messages": USER, "stop": stop}
    sent = httpx.post(
        f"{stage.api.url}/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"}
    )

    breaker = Breakers(stage.table).get("gpt-6-luna")
    assert sent.status_code == 400 and "stop" in sent.json()["error"]["param"]
    assert (breaker.failures, breaker.score, stage.models.seen) == (0, 0.0, [])


def test_a_conversation_over_the_limits_or_without_a_user_is_refused(stage: Stage) -> None:
    client = stage.client()

    with pytest.raises(openai.APIStatusError, match="at most 1,000,000") as long:
        _chat(client, "gpt-6-luna", messages=[{"role": "user", "content": "a" * 1_000_001}])
    with pytest.raises(openai.UnprocessableEntityError, match="takes 131,072 tokens"):
        _chat(client, "gpt-oss-20b", messages=[{"role": "user", "content": "a" * 900_000}])
    with pytest.raises(openai.UnprocessableEntityError, match="no message of a user"):
        _chat(client, "rules", messages=[{"role": "system", "content": "Hi"}])

    assert long.value.status_code == 413 and stage.models.seen == []


def test_a_model_that_only_rewrites_declines_a_conversation(stage: Stage) -> None:
    Catalogue(stage.table).publish(DEMO, LOCAL)
    listed = {model.id for model in stage.client().models.list()}

    assert "humanize/half@1" in listed and "half@1" not in listed
    with pytest.raises(openai.APIStatusError):
        _chat(stage.client(), "half@1")


def test_an_unknown_key_is_refused_in_words_that_the_client_knows(stage: Stage) -> None:
    client = openai.OpenAI(api_key="nobody's", base_url=f"{stage.api.url}/v1", max_retries=0)

    with pytest.raises(openai.PermissionDeniedError):
        _chat(client, "rules")


def test_the_models_are_listed_as_rewriters_and_as_themselves(stage: Stage) -> None:
    client = stage.client()

    models = list(client.models.list())

    ids = [model.id for model in models]
    assert ids[:2] == ["auto", "rules"] and len(ids) == len(set(ids))
    assert {"clear@1", "humanize/clear@1", "gpt-6-luna", "humanize/gpt-6-luna"} <= set(ids)
    assert "llama-3.3-70b-versatile" not in ids
    by_id = {model.id: model.to_dict() for model in models}
    assert by_id["gpt-4o"]["shutdown_date"] == "2027-01-14"
    assert by_id["gpt-6-luna"]["available"] and not by_id["claude-haiku-5-5"]["available"]
    assert all(client.models.retrieve(id).id == id for id in ids)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-99")


def test_a_free_tenant_sees_auto_and_rules_alone(stage: Stage) -> None:
    assert [model.id for model in stage.client(Tenant("free-one", Tier.FREE)).models.list()] == ["auto", "rules"]
