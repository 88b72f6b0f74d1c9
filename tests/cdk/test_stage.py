"""A shell may set what a stage is free to vary, and is told in one sentence what it may not."""

from __future__ import annotations

import pytest

from cdk.stage import STAGES, WrongSetting, stage


def test_an_empty_environment_changes_nothing() -> None:
    assert {name: stage(name, {}) for name in STAGES} == dict(STAGES)


def test_threshold_base_and_instance_are_settings() -> None:
    env = {
        "MILLRACE_TRAIN_THRESHOLD": "50",
        "MILLRACE_BASE_MODEL": "s3-model",
        "MILLRACE_INSTANCE_TYPE": "ml.g6.xlarge",
        "MILLRACE_NAME": "other",
    }

    made = stage("dev", env)

    assert (made.name, made.train_threshold) == ("dev", 50)
    assert (made.base_model, made.instance_type) == ("s3-model", "ml.g6.xlarge")


@pytest.mark.parametrize("text", ["", "-1", "many", "2.5"])
def test_a_threshold_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(WrongSetting, match="MILLRACE_TRAIN_THRESHOLD is a number of pairs"):
        stage("local", {"MILLRACE_TRAIN_THRESHOLD": text})


def test_an_operator_may_put_a_proxy_before_a_provider_and_allow_private_hosts() -> None:
    env = {
        "MILLRACE_PROVIDER_URLS": "openai=https://proxy.example.com/v1, groq=http://127.0.0.1:9/openai/v1",
        "MILLRACE_EGRESS_ALLOW": "llm.internal:8080,10.1.0.0/16",
    }

    made = stage("prod", env)

    assert (made.provider_urls, made.egress_allow) == (env["MILLRACE_PROVIDER_URLS"], env["MILLRACE_EGRESS_ALLOW"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MILLRACE_PROVIDER_URLS", "openal=https://proxy.example.com/v1"),
        ("MILLRACE_PROVIDER_URLS", "https://proxy.example.com/v1"),
        ("MILLRACE_PROVIDER_URLS", "openai=proxy.example.com"),
        ("MILLRACE_PROVIDER_URLS", "custom=https://proxy.example.com"),
        ("MILLRACE_EGRESS_ALLOW", "10.1.0.0/99"),
    ],
)
def test_a_proxy_or_a_network_that_is_none_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(WrongSetting, match=name):
        stage("dev", {name: text})


def test_an_unknown_stage_is_refused_with_those_that_exist() -> None:
    with pytest.raises(WrongSetting, match="local, dev, prod"):
        stage("staging", {})


def test_names_of_a_stage_begin_with_the_product_and_the_stage() -> None:
    assert {name: made.prefix for name, made in STAGES.items()} == {
        "local": "millrace-local",
        "dev": "millrace-dev",
        "prod": "millrace-prod",
    }
