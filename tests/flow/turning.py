"""A running twin for the loop's tests and how a user reaches it: the real stack and handlers, quick containers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cdk.local.__main__ import up
from cdk.local.api import Api
from cdk.local.aws import client
from cdk.local.ports import free_port
from cdk.local.settings import REPO, Twin

FAKE_IMAGES = Path(__file__).parent / "fake_images"


def until(look: Callable[[], Any], what: str, within_s: float = 40.0) -> Any:
    """Poll until the answer is truthy; whoever waits has a deadline and a name for what it waits for."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {within_s} s")


@dataclass
class Turning:
    """A running twin and how a user reaches it."""

    twin: Twin
    record: dict[str, Any]

    @property
    def api(self) -> Api:
        return Api(self.record["api_url"], self.record["demo_key"])

    @property
    def outputs(self) -> dict[str, str]:
        outputs: dict[str, str] = self.record["outputs"]
        return outputs

    def aws(self, service: str) -> Any:
        return client(self.twin, service)

    def drop(self, name: str, body: bytes) -> str:
        key = f"drop/demo/{name}"
        self.aws("s3").put_object(Bucket=self.outputs["DropBucket"], Key=key, Body=body)
        return key

    def collected(self, key: str, count: int = 1) -> list[dict[str, Any]]:
        """What became of every drop of this key, once there are so many and all are concluded."""

        def look() -> list[dict[str, Any]]:
            drops = [drop for drop in self.api.get("/api/drops?limit=100")["items"] if drop["key"] == key]
            done = [drop for drop in drops if drop["state"] in ("collected", "refused")]
            return done if len(done) == count else []

        found: list[dict[str, Any]] = until(look, f"the collection of {key}")
        return found

    def job(self, id: str, *states: str, within_s: float = 60.0) -> dict[str, Any]:
        """The job, once it is in one of these states."""

        def look() -> dict[str, Any] | None:
            job: dict[str, Any] = self.api.get(f"/api/training-jobs/{id}")
            if job["state"] in ("completed", "failed", "cancelled") and job["state"] not in states:
                raise AssertionError(f"{id} is {job['state']}: {job['error']}")
            return job if job["state"] in states else None

        found: dict[str, Any] = until(look, f"job {id} in {states}", within_s)
        return found

    def again(self) -> None:
        """`make up` on the same folder."""
        self.record = up(self.twin)


def a_twin(home: Path) -> Twin:
    twin = Twin.from_env({"MILLRACE_HOME": str(home)})
    return replace(
        twin,
        api_port=free_port(),
        aws_port=free_port(),
        containers=FAKE_IMAGES,
        engine_python=REPO / ".millrace/engine/bin/python",
        stop_grace_s=1.0,
        checkpoint_s=0.5,
        slots=2,
    )


def pairs(word: str, count: int, header: str = "prompt,completion") -> bytes:
    """A CSV of distinct pairs that the fake model knows how to rewrite."""
    rows = [f'"Moreover, the {word} number {n} is here.",The {word} number {n} is here.' for n in range(count)]
    return "\n".join([header, *rows, ""]).encode()
