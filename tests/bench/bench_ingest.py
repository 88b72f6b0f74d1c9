"""Ingest: rows of a dropped CSV into the corpus, rows per second of one core, against boto3 and a floor in one run.

Every arm takes the same CSV of pairs of 560 bytes from memory and stores the same items, under the same keys, at a
server on loopback that only counts, in a process of its own; the count must be the rows. Time is the CPU time of the
process that writes, all its threads. Ours is the whole intake: lease, reading, checks, storing each row unless it
stands already, report, conclusion. The peers parse with csv.DictReader and write what they are given, without
conditions: `batch_writer` and `put_item` of boto3's Table. Arms are shuffled in every round. A run whose floor moved by
more than 20 % says so and is void.
Not included: imports, clients being made, S3, the network, DynamoDB.
Floor: our reading of the same bytes, to rows, and nothing more.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

ROUNDS = 5
ROWS = {"floor": 20_000, "ours": 10_000, "batch_writer": 4_000, "put_item": 1_000}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
_SAID = "Moreover, it is important to note that we utilize a number of different systems in order to achieve the goal. "


def dropped(rows: int) -> bytes:
    lines = (f'"{_SAID * 3}{n}","{_SAID * 2}{n}"\n' for n in range(rows))
    return b"prompt,completion\n" + "".join(lines).encode()


@dataclass(frozen=True)
class Arms:
    """What every arm needs: clients that speak to the counting server."""

    url: str

    def floor(self, body: bytes) -> object:
        from millrace.drops import Drop, Held

        return sum(1 for _ in Drop(Held(body), {}))

    def ours(self, body: bytes) -> object:
        from millrace import aws
        from millrace.artifacts import Store
        from millrace.corpus import Corpus
        from millrace.intake import Dropped, Intake
        from millrace.table import Table
        from millrace.tenants import Tenant

        from tests.fakes import FakeS3

        s3: Any = FakeS3()
        version = s3.put_object(Bucket="drops", Key="drop/acme/a.csv", Body=body)["VersionId"]
        table, store = Table(aws.dynamodb(), "t"), Store(s3, "data")
        intake = Intake(table, Corpus(table, store), store, s3)
        return intake.collect(Tenant("acme"), Dropped("drops", "drop/acme/a.csv", version))

    def batch_writer(self, body: bytes) -> object:
        with _table().batch_writer() as writer:
            for item in _items(body):
                writer.put_item(Item=item)
        return None

    def put_item(self, body: bytes) -> object:
        table = _table()
        for item in _items(body):
            table.put_item(Item=item)
        return None


def _table() -> Any:
    import boto3

    return boto3.resource("dynamodb").Table("t")


def _items(body: bytes) -> Iterator[dict[str, Any]]:
    """What our corpus stores of a row, as boto3's resource wants it."""
    from millrace.clock import stamp
    from millrace.corpus import Corpus
    from millrace.drops import Row
    from millrace.intake import point_of
    from millrace.tenants import Tenant

    corpus, tenant, now = Corpus(None, None), Tenant("acme"), stamp()  # type: ignore[arg-type]
    for line, row in enumerate(csv.DictReader(io.StringIO(body.decode())), 2):
        point = point_of(Row(line, row["prompt"], row["completion"]), "dr1", now)
        item = corpus._item(tenant, point)
        yield {k: Decimal(repr(v)) if isinstance(v, float) else v for k, v in item.items() if v is not None}


@contextmanager
def server() -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("stub_server.py"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _counted(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url) as reply:
        told: dict[str, int] = json.load(reply)
    return told


def _seconds(arm: Callable[[bytes], object], body: bytes) -> float:
    began = time.process_time()
    arm(body)
    return time.process_time() - began


def forget() -> None:
    """The clients of an earlier run speak to a server that is gone."""
    from millrace import aws

    aws._client.cache_clear()
    aws._lean.cache_clear()


def run(rounds: int = ROUNDS, share: float = 1.0) -> dict[str, Any]:
    samples: dict[str, list[float]] = {name: [] for name in ROWS}
    requests: dict[str, float] = {}
    with server() as url:
        os.environ.update(KEYS, AWS_ENDPOINT_URL=url, AWS_LAMBDA_FUNCTION_NAME="ingest")
        forget()
        arms, draw = Arms(url), random.Random(1)
        bodies = {name: dropped(int(rows * share)) for name, rows in ROWS.items()}
        for name in ROWS:
            _seconds(getattr(arms, name), dropped(100))  # imports, clients, connections
        for _ in range(rounds):
            for name in draw.sample(list(ROWS), len(ROWS)):
                before, rows = _counted(url), int(ROWS[name] * share)
                samples[name].append(rows / _seconds(getattr(arms, name), bodies[name]))
                after = _counted(url)
                stored = {"floor": 0, "ours": rows + 1}.get(name, rows)  # ours: the drop's own item as well
                assert after["items"] - before["items"] == stored, name
                requests[name] = (after["requests"] - before["requests"]) / rows
    floor = samples["floor"]
    medians = {name: statistics.median(told) for name, told in samples.items()}
    return {
        "rows_per_s_core": medians,
        "requests_per_row": requests,
        "over_batch_writer": medians["ours"] / medians["batch_writer"],
        "samples": samples,
        "void": max(floor) > 1.2 * min(floor),
    }


def table(result: dict[str, Any]) -> str:
    says = {
        "floor": "our reading alone",
        "ours": "**the intake**",
        "batch_writer": "boto3 `batch_writer`",
        "put_item": "boto3 `Table.put_item`",
    }
    head = "| | rows/s of one core | requests a row | times `batch_writer` |\n|---|---:|---:|---:|"
    speed, base = result["rows_per_s_core"], result["rows_per_s_core"]["batch_writer"]
    rows = [
        f"| {says[name]} | {speed[name]:,.0f} | {result['requests_per_row'][name]:.3f} | {speed[name] / base:.1f} |"
        for name in says
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    print(table(run()))
