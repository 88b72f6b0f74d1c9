"""kill -9 loses nothing and doubles nothing: the real ingest function as a process, killed at random requests."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from threading import Thread
from typing import Any

import pytest
from millrace.artifacts import Store
from millrace.corpus import Corpus
from millrace.table import Table
from millrace.tenants import Kind, Tenant

from tests.conftest import ENVIRONMENT
from tests.fakes import LONG
from tests.functions.conftest import record
from tests.stub_aws import Stub, serving

ACME = Tenant("acme")
ROWS = 1500
KILLS = 200 if LONG else 3


def _start(stub: Stub) -> subprocess.Popen[str]:
    env = {**os.environ, **ENVIRONMENT, **stub.environment(), "MILLRACE_TRAIN_THRESHOLD": "0"}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.functions.killed_worker"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdout and worker.stdout.readline() == "ready\n"
    return worker


def _ask(worker: subprocess.Popen[str], event: dict[str, Any]) -> None:
    assert worker.stdin
    worker.stdin.write(json.dumps(event) + "\n")
    worker.stdin.flush()


def _answered(worker: subprocess.Popen[str]) -> Thread:
    """Ends with the worker's answer or the worker: a drop that was nearly done needs fewer requests than were drawn."""
    assert worker.stdout
    reader = Thread(target=next, args=((line for line in worker.stdout if line.startswith("answer ")), None))
    reader.start()
    return reader


def _killed(stub: Stub, event: dict[str, Any], after: int) -> None:
    """Start a worker, give it the event, and kill it when so many more requests have come, or when it has answered."""
    worker = _start(stub)
    wanted = stub.served + after
    answered = _answered(worker)
    _ask(worker, event)
    with stub.reached:
        while stub.served < wanted and answered.is_alive():
            stub.reached.wait(0.02)
    worker.kill()
    worker.wait()
    answered.join()
    for pipe in (worker.stdin, worker.stdout):
        assert pipe
        pipe.close()


@pytest.mark.timeout(3600)  # 200 starts of an interpreter, on a machine that may be busy
def test_a_worker_that_is_killed_at_any_request_leaves_each_row_once() -> None:
    rows = [f"draft {n % 1400},final {n % 1400}" if n % 50 else "broken" for n in range(ROWS)]
    body = "\n".join(["prompt,completion", *rows]).encode()
    draw, kills = random.Random(9), 0
    while kills < KILLS:
        with serving() as stub:
            key = "drop/acme/a.csv"
            version = stub.s3.put_object(Bucket="millrace-test-drops", Key=key, Body=body)["VersionId"]
            event = {"Records": [record("m1", "millrace-test-drops", key, version)]}
            for _ in range(min(6, KILLS - kills)):
                _killed(stub, event, draw.randint(1, 40))
                kills += 1
            worker = _start(stub)
            _ask(worker, event)
            said, _ = worker.communicate()
            assert 'answer {"batchItemFailures": []}\n' in said

            table = Table(stub.dynamo, "table")
            points = table.all(ACME.pk(Kind.DATA_POINT))
            (drop,), _ = table.page(ACME.pk(Kind.DROP), 10)
            sources = Counter(point["source"] for point in points)
            assert set(sources.values()) == {1} and len(sources) == len(set(rows) - {"broken"})
            assert (drop["accepted"], drop["rejected"]) == (len(sources), rows.count("broken"))
            assert drop["accepted"] + drop["duplicate"] + drop["rejected"] == ROWS
            assert Corpus(table, Store(stub.s3, "data")).counts(ACME).usable == len(sources)
