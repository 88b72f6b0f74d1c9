from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.contract import ModelState
from millrace.errors import MillraceError, Unavailable
from millrace.models import Model
from millrace.serving import Serving
from millrace.tenants import Tenant

from tests.fakes import FAULTS, Crash, FakeSageMaker, Fault, Faulty, Plan

ACME = Tenant("acme")
NAMES = st.from_regex(r"\A[a-z][a-z0-9-]{2,31}\Z")


def _model(version: int = 1, name: str = "humanizer", **values: Any) -> Model:
    return Model(f"{name}@{version}", name, version, ModelState.READY, "lora-sft", "2026-01-01T00:00:00.000Z", **values)


def _serving(sagemaker: Any, stage: str = "local") -> Serving:
    return Serving(sagemaker, stage, {"serve": "serve:1", "cnn_search": "cnn:1"}, "role", "key", "ml.c7i.xlarge")


def _up(sagemaker: FakeSageMaker, serving: Serving) -> None:
    sagemaker.endpoints[serving.endpoint_name(ACME, _model())]["EndpointStatus"] = "InService"


def test_the_first_version_makes_the_endpoint_and_the_next_moves_it() -> None:
    sagemaker = FakeSageMaker()
    serving = _serving(sagemaker)

    endpoint = serving.start(ACME, _model(1), "s3://data/one/")
    assert serving.status(ACME, _model(1)) == ("creating", "")
    _up(sagemaker, serving)
    assert serving.status(ACME, _model(1)) == ("in_service", "")
    assert serving.start(ACME, _model(2), "s3://data/two/") == endpoint
    assert serving.status(ACME, _model(2)) == ("creating", "")
    _up(sagemaker, serving)

    assert serving.status(ACME, _model(2)) == ("in_service", "")
    assert len(sagemaker.models) == 2 and all(m["EnableNetworkIsolation"] for m in sagemaker.models.values())


def test_a_version_does_not_serve_while_the_endpoint_serves_another() -> None:
    sagemaker = FakeSageMaker()
    serving = _serving(sagemaker)
    serving.start(ACME, _model(1), "s3://data/one/")
    _up(sagemaker, serving)

    status, reason = serving.status(ACME, _model(2))  # as after an update that was rolled back

    assert status == "failed" and "-1-1 instead" in reason


def test_an_endpoint_that_never_came_up_is_removed_and_made_anew() -> None:
    sagemaker = FakeSageMaker()
    serving = _serving(sagemaker)
    endpoint = serving.start(ACME, _model(1), "s3://data/one/")
    sagemaker.endpoints[endpoint].update(EndpointStatus="Failed", FailureReason="it ran out of memory")
    assert serving.status(ACME, _model(1)) == ("failed", "it ran out of memory")

    with pytest.raises(Unavailable, match="is made again"):
        serving.start(ACME, _model(2), "s3://data/two/")
    serving.start(ACME, _model(2), "s3://data/two/")
    _up(sagemaker, serving)

    assert serving.status(ACME, _model(2)) == ("in_service", "")


@pytest.mark.parametrize("status", ["Creating", "Updating", "Deleting", "RollingBack"])
def test_an_endpoint_that_is_on_its_way_is_waited_for(status: str) -> None:
    sagemaker = FakeSageMaker()
    serving = _serving(sagemaker)
    endpoint = serving.start(ACME, _model(1), "s3://data/one/")
    sagemaker.endpoints[endpoint]["EndpointStatus"] = status

    with pytest.raises(Unavailable, match=status):
        serving.start(ACME, _model(2), "s3://data/two/")


@pytest.mark.parametrize("fault", [*FAULTS, "crash"])
@pytest.mark.parametrize("number", range(1, 6))
def test_a_start_that_fails_at_any_call_is_right_when_repeated(number: int, fault: Fault) -> None:
    sagemaker = FakeSageMaker()
    serving = _serving(sagemaker)
    serving.start(ACME, _model(1), "s3://data/one/")
    _up(sagemaker, serving)

    try:
        _serving(Faulty(sagemaker, Plan({number: fault}))).start(ACME, _model(2), "s3://data/two/")
    except (Crash, Unavailable):
        pass
    except MillraceError as error:
        assert fault == "twice" and "in-progress" in str(error)
    serving.start(ACME, _model(2), "s3://data/two/")
    _up(sagemaker, serving)

    assert serving.status(ACME, _model(2)) == ("in_service", "") and len(sagemaker.configs) == 2


def test_something_that_does_not_exist_is_not_taken_for_something_that_already_does() -> None:
    class Forgetful(FakeSageMaker):
        def create_model(self, *, ModelName: str, **arguments: Any) -> dict[str, Any]:
            return {}

    with pytest.raises(MillraceError, match="does not exist"):
        _serving(Forgetful()).start(ACME, _model(), "s3://data/one/")


@given(NAMES, NAMES, NAMES, NAMES, st.sampled_from(["local", "dev", "prod", "a-long-stage"]))
def test_two_tenants_or_two_names_never_share_an_endpoint(a: str, b: str, m: str, n: str, stage: str) -> None:
    serving = _serving(FakeSageMaker(), stage)
    names = {
        (tenant, name): serving.endpoint_name(Tenant(tenant), _model(name=name)) for tenant in (a, b) for name in (m, n)
    }

    assert len(set(names.values())) == len(names)
    assert all(name.startswith(f"millrace-{stage}-") for name in names.values())


def test_hyphens_cannot_move_a_name_from_one_tenant_to_another() -> None:
    serving = _serving(FakeSageMaker())

    assert serving.endpoint_name(Tenant("acme"), _model(name="eu-x")) != serving.endpoint_name(
        Tenant("acme-eu"), _model(name="x")
    )


def test_the_longest_names_are_names_that_sagemaker_takes() -> None:
    sagemaker = FakeSageMaker()  # it refuses what is over 63 characters
    long = Tenant("t" * 31 + "-")
    _serving(sagemaker, "production").start(long, _model(12_345_678, "m" * 31 + "-"), "s3://data/one/")

    assert len(sagemaker.models) == 1


def test_an_attempt_that_trained_again_is_another_model() -> None:
    serving = _serving(FakeSageMaker())

    first, second = (serving.version_name(ACME, _model(lineage={"attempt": attempt})) for attempt in (1, 2))
    assert first != second
