"""What would stop a set-up or the twin, said in one sentence each before any work. Standard library only.

`python preflight.py setup` runs before there is an environment, `python preflight.py twin` before the twin comes up.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Env = Mapping[str, str]
REPO = Path(__file__).resolve().parents[2]
NEEDED_BYTES = 8 * 1024**3
LEFTOVERS_S = 10.0
PORTS = (("MILLRACE_API_PORT", "8080"), ("MILLRACE_AWS_PORT", "4566"))
ENOUGH_BYTES = 2 * 1024**3
"""For a twin whose set-up is done."""


def python_version(env: Env) -> str | None:
    if sys.version_info[:2] != (3, 11):
        found = ".".join(map(str, sys.version_info[:2]))
        return f"Python 3.11 is needed and python3 is {found}; name another with `make PYTHON=python3.11 ...`."
    return None


def disk(env: Env) -> str | None:
    needed = ENOUGH_BYTES if _is_set_up() else NEEDED_BYTES
    free = shutil.disk_usage(REPO).free
    if free < needed:
        return f"{needed / 1024**3:.0f} GB of disk are needed under {REPO.name}/ and {free / 1024**3:.1f} GB are free."
    return None


def compiler(env: Env) -> str | None:
    if _is_set_up() or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"):
        return None
    return "A C++ compiler is needed to build llama.cpp once: install g++ (Debian: apt-get install g++)."


def node(env: Env) -> str | None:
    if shutil.which("node"):
        return None
    return "Node.js is needed by the CDK: install it (Debian: apt-get install nodejs)."


def network(env: Env) -> str | None:
    """Asks pip for one small package's versions: the only way that honours how this machine reaches its index."""
    if _is_set_up():
        return None
    command = [sys.executable, "-m", "pip", "index", "versions", "uv", "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        return "The set-up needs the Python package index once and pip does not reach it: check the network."
    return None


def ports(env: Env) -> str | None:
    """What a killed twin left goes by itself within seconds, and is waited for."""
    try:
        numbers = {name: port(name, env.get(name, default)) for name, default in PORTS}
    except ValueError as error:
        return str(error)
    if _running(env):
        return None
    deadline = time.monotonic() + (LEFTOVERS_S if (_home(env) / "twin.pid").exists() else 0)
    while (found := _taken(numbers)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def port(name: str, text: str) -> int:
    """The setting's value; a ValueError with the sentence for who set it."""
    if not (text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{name} is a port from 1 to 65535, not {text!r}.")
    return int(text)


def _taken(numbers: Mapping[str, int]) -> str | None:
    for name, number in numbers.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return f"Port {number} is taken by another program: stop it, or set {name} to a free one."
    return None


CHECKS: dict[str, tuple[Callable[[Env], str | None], ...]] = {
    "setup": (python_version, disk, compiler, node, network),
    "twin": (disk, node, ports),
}


def obstacles(kind: str, env: Env = os.environ) -> list[str]:
    """One sentence for each thing that stands in the way; empty where nothing does."""
    return [sentence for check in CHECKS[kind] if (sentence := check(env))]


def _is_set_up() -> bool:
    return (REPO / ".millrace/stamps/llama.cpp").exists()


def _running(env: Env) -> bool:
    """Whether the ports are held by a twin of ours."""
    try:
        pids = json.loads((_home(env) / "twin.json").read_text()).get("pids", {})
        return any(b"cdk.local" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids.values())
    except (OSError, ValueError, AttributeError):
        return False


def _home(env: Env) -> Path:
    return Path(env.get("MILLRACE_HOME", REPO / ".millrace"))


def main() -> int:
    found = obstacles(sys.argv[1] if len(sys.argv) > 1 else "setup")
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
