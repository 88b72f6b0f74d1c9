"""TorchServe itself, where a Java runs it: predictions, a missing model, management and ping, by our provider."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from millrace.addresses import Allowed
from millrace.catalogue import Entry
from millrace.errors import ProviderRefused
from millrace.keys import Keys
from millrace.providers import Ask, torchserve
from millrace.providers.reach import Reach

from cdk.local.ports import free_port
from tests.millrace.providers.conftest import FakeSecrets

HANDLER = """
def handle(data, context):
    if data is None:
        return None
    return [row["body"]["text"].replace("leverage", "use") for row in data]
"""
MANIFEST = {
    "runtime": "python",
    "model": {"modelName": "rewrite", "handler": "handler.py", "modelVersion": "1.0"},
}
UP_S = 120
WHERE = importlib.util.find_spec("ts")

pytestmark = pytest.mark.skipif(
    shutil.which("java") is None or WHERE is None, reason="TorchServe needs a Java and its package"
)


@dataclass(frozen=True)
class Served:
    inference: str
    management: str
    log: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("ts")
    model = home / "store" / "rewrite"
    (model / "MAR-INF").mkdir(parents=True)
    (model / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(MANIFEST))
    (model / "handler.py").write_text(HANDLER)
    inference, management, metrics, *grpc = (free_port() for _ in range(5))
    settings = {
        "inference_address": f"http://127.0.0.1:{inference}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_port": grpc[0],
        "grpc_management_port": grpc[1],
        "model_store": home / "store",
        "load_models": "rewrite",
        "default_workers_per_model": 1,
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
    }
    (home / "config.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    found = Served(settings["inference_address"], settings["management_address"], home / "out.log")  # type: ignore[arg-type]
    process = _start(home, found.log)
    try:
        _await_worker(found, process)
        yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(home: Path, log: Path) -> subprocess.Popen[bytes]:
    assert WHERE is not None and WHERE.submodule_search_locations
    package = Path(WHERE.submodule_search_locations[0])
    logs = {"LOG_LOCATION": str(home / "logs"), "METRICS_LOCATION": str(home / "logs")}
    java = ["java", "-Xmx256m", f"-Dmodel_server_home={package.parent}", f"-Djava.io.tmpdir={home}"]
    server = ["-cp", f"{package}/frontend/*", "org.pytorch.serve.ModelServer", "--python", sys.executable]
    return subprocess.Popen(
        [*java, *server, "-f", "config.properties", "-ncs"],
        cwd=home,
        env=os.environ | logs,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _await_worker(served: Served, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + UP_S
    while not torchserve.health(_entry(served), 5.0, _reach(served)).ok:
        assert process.poll() is None and time.monotonic() < deadline, served.log.read_text()[-2000:]
        time.sleep(0.2)


def _entry(served: Served) -> Entry:
    management = {"management": served.management}
    return Entry("rewrite", "torchserve", base_url=served.inference, capabilities=management)


def _reach(served: Served) -> Reach:
    hosts = ",".join(url.removeprefix("http://") for url in (served.inference, served.management))
    return Reach(Keys(lambda: FakeSecrets({}), "keys"), Allowed.parse(hosts))  # type: ignore[arg-type, return-value]


def test_a_text_is_rewritten_by_the_served_model(served: Served) -> None:
    done = torchserve.complete(_entry(served), Ask("We leverage 42."), 20.0, _reach(served))

    assert done.text == "We use 42." and done.flags == ("usage-estimated",)


def test_management_and_ping_tell_its_health(served: Served) -> None:
    entry, reach = _entry(served), _reach(served)

    assert torchserve.health(entry, 20.0, reach).text == "rewrite has 1 workers READY."
    assert torchserve.health(replace(entry, capabilities={}), 20.0, reach).text == "rewrite is Healthy."
    assert not torchserve.health(replace(entry, model="nothing"), 20.0, reach).ok


def test_a_model_that_is_not_served_is_refused(served: Served) -> None:
    with pytest.raises(ProviderRefused, match="ModelNotFoundException"):
        torchserve.complete(replace(_entry(served), model="nothing"), Ask("x"), 20.0, _reach(served))
