"""The serving process as others see it: over HTTP, with the official OpenAI client, up to SIGTERM."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx
import openai
import pytest

from tests.training_containers.serve.conftest import Served, answers, free_port, model_folder, serve, until
from training_containers.serve.llama import Context, Model, Sampling

ASKED = [{"role": "user", "content": "The report is in."}]
SECRET = "canary budget meeting"


@pytest.fixture(scope="module")
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def test_the_openai_client_gets_the_answer_that_llama_cpp_gives(client: openai.OpenAI, gguf: Path) -> None:
    model = Model(gguf)
    expected = model.text(list(Context(model, 256).generate(model.prompt(ASKED), 12, Sampling())))

    reply = client.chat.completions.create(model="any", messages=ASKED, max_tokens=12, temperature=0)  # type: ignore[arg-type]

    assert reply.choices[0].message.content == expected
    assert reply.model == "tiny@1"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (len(model.prompt(ASKED)), 12)
    assert reply.choices[0].finish_reason == "length"
    assert reply.to_dict()["timings"]["tokens_per_s"] > 0  # type: ignore[index]


@pytest.mark.parametrize("path", ["invocations", "v1/score"])
def test_a_text_is_judged_as_llama_cpp_judges_it(served: Served, gguf: Path, path: str) -> None:
    """H10."""
    model = Model(gguf)
    expected = Context(model, 256).likelihood(model.opened(ASKED[0]["content"]))

    told = httpx.post(f"{served.url}/{path}", json={"score": ASKED[0]["content"]}, timeout=30).json()

    assert (told["model"], told["tokens"], told["truncated"]) == ("tiny@1", expected.tokens, False)
    assert told["mean_logprob"] == pytest.approx(expected.mean_logprob, abs=1e-3)
    assert told["token_likeness"] == pytest.approx(expected.token_likeness, abs=1e-3)


def test_the_openai_client_streams_the_same_words(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="any", messages=ASKED, max_tokens=12)  # type: ignore[arg-type]

    chunks = list(
        client.chat.completions.create(
            model="any",
            messages=ASKED,  # type: ignore[arg-type]
            max_tokens=12,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage


def test_models_lists_the_one_that_is_served(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny@1"]


def test_sagemakers_two_routes_answer(served: Served) -> None:
    body = {"messages": ASKED, "max_tokens": 4}

    assert httpx.get(f"{served.url}/ping").status_code == 200
    first, second = (httpx.post(f"{served.url}/invocations", json=body).json() for _ in range(2))

    assert first["object"] == "chat.completion"
    assert first["choices"] == second["choices"]  # nothing of the first request is left


def test_a_seed_makes_sampling_repeatable(client: openai.OpenAI) -> None:
    def said(seed: int) -> str | None:
        asked = client.chat.completions.create(
            model="any",
            messages=ASKED,  # type: ignore[arg-type]
            max_tokens=12,
            temperature=1.5,
            seed=seed,
        )
        return asked.choices[0].message.content

    assert said(1) == said(1) != said(2)


def test_a_prompt_over_the_context_is_a_clear_400(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"tokens; the context of 256 leaves no room") as refused:
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": "report " * 400}])

    assert refused.value.code == "context_length_exceeded"


def test_a_timeout_is_504_with_a_sentence(served: Served) -> None:
    reply = httpx.post(f"{served.url}/invocations", json={"messages": ASKED, "timeout_s": 0.000001})

    assert reply.status_code == 504
    assert "No complete answer within" in reply.json()["error"]["message"]


def test_bodies_are_never_in_the_log(served: Served) -> None:
    ok = httpx.post(
        f"{served.url}/invocations", json={"messages": [{"role": "user", "content": SECRET}], "max_tokens": 3}
    )
    bad = httpx.post(f"{served.url}/invocations", json={"messages": [{"role": SECRET, "content": SECRET}]})

    assert (ok.status_code, bad.status_code) == (200, 422)
    log = served.log.read_text()
    assert SECRET not in log and SECRET not in bad.text
    assert any(json.loads(line).get("type") == "request" for line in log.splitlines())


def test_sigterm_ends_it_with_status_0(gguf: Path, tmp_path: Path) -> None:
    root, port = model_folder(tmp_path, gguf.read_bytes()), free_port()
    process = serve(root, tmp_path / "log", SAGEMAKER_BIND_TO_PORT=str(port))
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}"))
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=30) == 0
    finally:
        process.kill()


def test_a_pickle_is_refused_with_one_sentence_and_status_1(tmp_path: Path) -> None:
    import pickle

    process = serve(model_folder(tmp_path, pickle.dumps({"weights": [1.0]})), tmp_path / "log")

    assert process.wait(timeout=60) == 1
    assert "model.gguf is not a GGUF file" in (tmp_path / "log").read_text().splitlines()[-1]
