"""A container for tests: `main NAME train --root DIR`; the hyperparameter `instruction` says what it does."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(sys.argv[sys.argv.index("--root") + 1] if "--root" in sys.argv else "/opt/ml")
VALUES = {
    name: json.loads(value)
    for name, value in json.loads((ROOT / "input/config/hyperparameters.json").read_text()).items()
}


def complete(lie=""):
    rows = (ROOT / "input/data/train/rows.jsonl").read_text()
    print(json.dumps({"type": "progress", "status": "training", "step": 1, "steps": 2, "loss": 0.5}), flush=True)
    body = rows.encode()
    (ROOT / "model/weights.bin").write_bytes(body)
    files = [{"path": "weights.bin", "sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}]
    if lie == "hash":
        files[0]["sha256"] = "0" * 64
    elif lie == "missing":
        files.append({"path": "gone.bin", "sha256": "0" * 64, "size_bytes": 1})
    elif lie == "outside":
        files.append({"path": "../input/config/hyperparameters.json", "sha256": "0" * 64, "size_bytes": 1})
    manifest = {
        "format": "adapter",
        "strategy": VALUES["strategy"],
        "files": files,
        "metrics": {"loss": 0.5},
        "hyperparameters": VALUES,
        "source_sha256": "1" * 64,
    }
    (ROOT / "model/manifest.json").write_text(json.dumps(manifest))


def environment():
    complete()
    print("env " + json.dumps(dict(os.environ)), flush=True)


def memory():
    (ROOT / "output/failure").write_text("OutOfMemory: 16 rows of 512 tokens need more than this machine has.")
    sys.exit(1)


def disk():
    try:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"weights")
    except OSError as error:
        (ROOT / "output/failure").write_text(f"DiskFull: {error.strerror}; ask for a larger volume.")
        sys.exit(1)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def nothing():
    pass


def garbage():
    (ROOT / "model/manifest.json").write_text("{}")


def hang():
    child = subprocess.Popen(["sleep", "600"])
    print(f"pids {os.getpid()} {child.pid}", flush=True)
    time.sleep(600)


deed, _, more = VALUES["instruction"].partition(" ")
globals()[deed](*([more] if more else []))
