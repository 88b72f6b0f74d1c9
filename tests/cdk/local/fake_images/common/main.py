"""A container for tests: `main NAME train|serve --root DIR`; the hyperparameter `behave` says what it does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(sys.argv[sys.argv.index("--root") + 1])


def complete(values):
    seen = {p.relative_to(ROOT).as_posix(): p.read_text() for p in (ROOT / "input/data").rglob("*") if p.is_file()}
    kept = ROOT / "checkpoints/step.txt"
    before = kept.read_text() if kept.exists() else ""
    kept.write_text(before + "x")
    print(json.dumps({"type": "progress", "status": "training", "step": 1, "steps": 2, "loss": 0.5}))
    print("loss=0.25;")
    (ROOT / "model/weights.bin").write_text("weights")
    (ROOT / "output/data/report.txt").write_text("report")
    facts = {"inputs": seen, "values": values, "resumed": before, "env": dict(os.environ), "cwd": os.getcwd()}
    (ROOT / "model/manifest.json").write_text(json.dumps(facts))


def fail(values):
    (ROOT / "output/failure").write_text("The data has no column 'target'.")
    sys.exit(3)


def crash(values):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(values):
    """Leaves a child behind too, and a checkpoint."""
    (ROOT / "checkpoints/step.txt").write_text("half")
    child = subprocess.Popen(["sleep", "600"])
    print(f"pids {os.getpid()} {child.pid}", flush=True)
    time.sleep(600)


def resuming(values):
    """Hangs the first time, and goes on from its checkpoint the next."""
    if (ROOT / "checkpoints/step.txt").exists():
        complete(values)
    else:
        hang(values)


def stubborn(values):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(f"pids {os.getpid()} {os.getpid()}", flush=True)
    time.sleep(600)


def polite(values):
    """Saves what it has when it is asked to stop."""

    def save(*_):
        (ROOT / "model/partial.bin").write_text("partial")
        sys.exit(0)

    signal.signal(signal.SIGTERM, save)
    print("pids 0 0", flush=True)
    time.sleep(600)


def call_out(values):
    """Reaches for the address it was given; then for itself over loopback."""
    try:
        socket.create_connection(("127.0.0.1", int(values["port"])), timeout=2)
        reached = "reached"
    except OSError as error:
        reached = type(error).__name__
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.listen()
        socket.create_connection(own.getsockname(), timeout=2)
    (ROOT / "model/manifest.json").write_text(json.dumps({"reached": reached}))


class Serving(BaseHTTPRequestHandler):
    def do_GET(self):
        self._say(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if body == b"boom":
            self._say(500, b"it broke")
        elif body == b"die":
            os._exit(9)
        else:
            if body == b"slowly":
                (ROOT / "asked").touch()
                time.sleep(1.5)
            model = (ROOT / "model/name.txt").read_text() if (ROOT / "model/name.txt").exists() else ""
            told = {"echo": body.decode(), "type": self.headers.get("Content-Type"), "model": model, "pid": os.getpid()}
            self._say(200, json.dumps(told).encode())

    def _say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    if os.environ.get("BEHAVE") == "refuse":
        print("The model does not fit into memory.", flush=True)
        sys.exit(4)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Serving).serve_forever()


def train():
    raw = json.loads((ROOT / "input/config/hyperparameters.json").read_text())
    values = {name: json.loads(value) for name, value in raw.items()}
    globals()[values["behave"]](values)


if __name__ == "__main__":
    {"train": train, "serve": serve}[sys.argv[2]]()
