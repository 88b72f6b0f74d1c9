"""Containers of the loop's tests: the contract of the real ones, and no machine learning.

What a training does is told by its seed, which every strategy has: 101 exits with status 1, 102 hangs, 103 takes its
time, 104 writes no manifest, 105 lies in it, 106 has no memory for more than 4 rows at once, 107 meets a full disk, 108
is killed. A model "serves" by dropping the word before the first comma.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from training_containers.common import manifest
from training_containers.common.job import Job
from training_containers.common.progress import Reporter

GOOD = {
    "examples": 20.0,
    "content_kept_rate": 0.95,
    "edit_rate": 0.9,
    "base_edit_rate": 0.0,
    "edit_gain_low": 0.7,
    "edit_gain_high": 1.0,
    "loss_ratio": 0.4,
    "parity_passed": 1.0,
}


def train(job: Job) -> None:
    seed = int(job.hyperparameters.get("seed", 0))
    if seed == 101:
        job.fail("The fake container was told to fail.")
        sys.exit(1)
    if seed == 106 and int(job.hyperparameters["batch_size"]) > 4:
        job.fail(f"OutOfMemory: {job.hyperparameters['batch_size']} rows did not fit.")
        sys.exit(1)
    if seed == 107:
        _fill_the_disk(job)
    if seed == 108:
        os.kill(os.getpid(), signal.SIGKILL)
    steps = {102: 10_000, 103: 80}.get(seed, 2)
    reporter = Reporter(steps, every_s=0.2)
    for step in range(1, steps + 1):
        reporter.step(step, loss=1 / step)
        time.sleep(0.1)
    (job.model / "adapter.safetensors").write_bytes(b"fake")
    _seal(job, "adapter")


def _fill_the_disk(job: Job) -> None:
    try:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"weights")
    except OSError as error:
        job.fail(f"DiskFull: {error.strerror}; ask for a larger volume.")
        sys.exit(1)


def evaluate(job: Job) -> None:
    (job.model / "evaluation.json").write_text("[]")
    _seal(job, "evaluation")


def gguf(job: Job) -> None:
    (job.model / "model.gguf").write_bytes(b"GGUF")
    _seal(job, "gguf")


def _seal(job: Job, format: str) -> None:
    if job.hyperparameters.get("seed") == 104:
        (job.model / "manifest.json").write_text('{"format": "adapter", "files": "all of them"}')
        return
    values = dict(job.hyperparameters)
    strategy = str(values.pop("strategy"))
    manifest.write(
        job.model, format=format, strategy=strategy, metrics=GOOD, hyperparameters=values, source=Path(__file__).parent
    )
    if job.hyperparameters.get("seed") == 105 and format == "adapter":
        (job.model / "adapter.safetensors").write_bytes(b"other bytes")


class Model(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["messages"][-1]["content"].partition(", ")[2]
        message = {"role": "assistant", "content": text[:1].upper() + text[1:]}
        usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
        self._answer({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})

    def _answer(self, value: object) -> None:
        raw = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("container")
    parser.add_argument("command")
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    if options.command == "serve":
        port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
        ThreadingHTTPServer(("127.0.0.1", port), Model).serve_forever()
    job = Job(options.root)
    {"lora-sft": train, "lora-evaluate": evaluate, "gguf": gguf}[job.hyperparameters["strategy"]](job)


if __name__ == "__main__":
    main()
