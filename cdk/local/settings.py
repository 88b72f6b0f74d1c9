"""Where the twin lives and listens, read once from the environment. Ports are on loopback; times in seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .preflight import port

REPO = Path(__file__).resolve().parents[2]
ACCOUNT = "000000000000"
"""The embedded AWS's only account; its access key is `test`."""
PROVIDER_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY")


class WrongSetting(ValueError):
    """A variable of this shell has a value that the twin cannot have; the sentence names both."""


@dataclass(frozen=True)
class Twin:
    """One twin: its folder, its ports, its limits."""

    home: Path = REPO / ".millrace"
    state: Path = REPO / ".millrace/state"
    engine_python: Path = REPO / ".millrace/engine/bin/python"
    containers: Path = REPO / "training_containers"
    assembly: Path = REPO / ".millrace/cdk.out"
    region: str = "us-east-1"
    api_port: int = 8080
    aws_port: int = 4566
    executor: str = "process"
    """Of training jobs: process, or docker for their images in any engine with Docker's command line."""
    slots: int = 1
    """Training jobs that run at once; the others wait, InProgress/Pending."""
    stop_grace_s: float = 10.0
    """From SIGTERM to SIGKILL. AWS gives 120."""
    save_s: float = 1.0
    """How often changed state of the embedded AWS is written down."""
    checkpoint_s: float = 5.0
    """How often checkpoints/ is copied to its S3 prefix while a job runs."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """MILLRACE_HOME, MILLRACE_STATE, MILLRACE_API_PORT, MILLRACE_AWS_PORT, MILLRACE_SLOTS, ... override."""
        env = os.environ if env is None else env
        home = Path(env.get("MILLRACE_HOME", REPO / ".millrace")).resolve()
        given: dict[str, Any] = {"home": home, "state": home / "state", "assembly": home / "cdk.out"}
        for name, kind in _KINDS.items():
            if (text := env.get(f"MILLRACE_{name.upper()}")) is not None:
                given[name] = _read(f"MILLRACE_{name.upper()}", kind, text)
        return cls(**given)

    def to_env(self) -> dict[str, str]:
        """What makes another process read the same twin."""
        return {f"MILLRACE_{name.upper()}": str(getattr(self, name)) for name in ("home", *_KINDS)}

    @property
    def aws_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.aws_port}"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def record(self) -> Path:
        """What `up` found out: addresses, outputs, process ids."""
        return self.home / "twin.json"

    @property
    def logs(self) -> Path:
        return self.home / "logs"


_KINDS: dict[str, Any] = {
    "state": lambda text: Path(text).resolve(),
    "engine_python": lambda text: Path(text).absolute(),
    "containers": lambda text: Path(text).resolve(),
    "assembly": lambda text: Path(text).resolve(),
    "region": str,
    "executor": lambda text: _one_of("MILLRACE_EXECUTOR", text, ("process", "docker")),
    "api_port": lambda text: port("MILLRACE_API_PORT", text),
    "aws_port": lambda text: port("MILLRACE_AWS_PORT", text),
    "slots": int,
    "stop_grace_s": float,
    "save_s": float,
    "checkpoint_s": float,
}


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise WrongSetting(f"{name} is {' or '.join(known)}, not {text!r}.")
    return text


def _read(name: str, kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        expected = {int: "a whole number", float: "a number"}.get(kind)
        raise WrongSetting(f"{name} is {expected}, not {text!r}." if expected else str(error)) from error


def clean_env(**extra: str) -> dict[str, str]:
    """An environment without keys or settings of this shell: what a child process of the twin starts from."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "OMP_NUM_THREADS")
    return {name: os.environ[name] for name in kept if name in os.environ} | extra


def python() -> str:
    return sys.executable
