"""The first requests of the cold start's benchmark: their events, and what stands behind the functions meanwhile.

A table in memory and a provider on loopback, in processes of their own; boto3's and our own clients speak to them over
sockets, as they do to AWS.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.stub_aws import Stub, serving

KEY = "mr_bench"
ARMS = {
    "authorize: a key": ("functions", "functions.authorize.handler", "isAuthorized", True),
    "gateway: who am I": ("gateway", "functions.gateway.handler", "statusCode", 200),
    "gateway: the list of jobs": ("gateway", "functions.gateway.handler", "statusCode", 200),
    "gateway: a text, by the rules": ("gateway", "functions.gateway.handler", "statusCode", 200),
    "gateway: a text, by a model": ("gateway", "functions.gateway.handler", "statusCode", 200),
    "monitor: nothing to do": ("functions", "functions.monitor.handler", "", None),
}
"""(asset, module, name in the reply, its value)."""
CODE = """
import json, os, time
from types import SimpleNamespace
from {module} import handler
imported = time.process_time()
context = SimpleNamespace(function_name="f", memory_limit_in_mb=1769, invoked_function_arn="arn:aws:lambda:x",
                          aws_request_id="r1", get_remaining_time_in_millis=lambda: 60_000)
reply = handler(json.loads(os.environ["EVENT"]), context)
assert not {name!r} or reply[{name!r}] == {value!r}, reply
"""


def events() -> dict[str, dict[str, Any]]:
    from tests.bench.bench_router import TEXT

    return {
        "authorize: a key": {"headers": {"x-api-key": KEY}},
        "gateway: who am I": _http("GET", "/api/me"),
        "gateway: the list of jobs": _http("GET", "/api/training-jobs"),
        "gateway: a text, by the rules": _http("POST", "/api/humanize", {"text": TEXT, "model_id": "rules"}),
        "gateway: a text, by a model": _http("POST", "/api/humanize", {"text": TEXT}),
        "monitor: nothing to do": {},
    }


def _http(method: str, path: str, body: Any = None) -> dict[str, Any]:
    from tests.bench.router_arms import event

    made = event("")
    made["requestContext"]["http"] |= {"method": method, "path": path}
    return made | {"rawPath": path, "body": None if body is None else json.dumps(body)}


class _Standing(Stub):
    def call(self, target: str, body: dict[str, Any]) -> Any:
        if target.startswith("secretsmanager."):
            return {"SecretString": '{"OPENAI_API_KEY": "sk-bench"}'}
        return super().call(target, body)


@contextmanager
def standing() -> Iterator[dict[str, str]]:
    """The environment of a function that finds its table seeded, one key granted and a provider that answers."""
    from millrace import seeds
    from millrace.access import Access
    from millrace.table import Table
    from millrace.tenants import Tenant

    from tests.bench.bench_router import job, store
    from tests.conftest import ENVIRONMENT

    with serving(_Standing(dynamo=store())) as stub:
        table = Table(stub.dynamo, ENVIRONMENT["MILLRACE_TABLE"])
        seeds.seed(table)
        Access(table).grant(KEY, Tenant("bench"))
        script = Path(__file__).with_name("router_arms.py")
        command = [sys.executable, str(script), "mock"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as mock:
            assert mock.stdin and mock.stdout
            mock.stdin.write(json.dumps(job()) + "\n")
            mock.stdin.flush()
            url = f"openai=http://127.0.0.1:{int(mock.stdout.readline())}/v1"
            try:
                yield {**stub.environment(), "AWS_LAMBDA_FUNCTION_NAME": "f", "MILLRACE_PROVIDER_URLS": url}
            finally:
                mock.kill()
