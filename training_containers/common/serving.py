"""What the serving containers share: the machine's side of their settings, a bounded body, and a run until SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Protocol, Self

import uvicorn
from millrace.errors import InvalidInput, MillraceError, TooLarge
from starlette.applications import Starlette
from starlette.requests import Request

GRACE_S: Final = 20
"""SageMaker kills 30 s after SIGTERM."""


@dataclass(frozen=True)
class Machine:
    """A container binds every address; a laptop sets MILLRACE_BIND_HOST=127.0.0.1."""

    host: str = "0.0.0.0"  # noqa: S104 - SageMaker asks for it inside its network
    port: int = 8080
    workers: int = 1
    """Requests that are worked on at once."""
    queue: int = 16
    """Requests that may wait; one more is answered 429."""
    timeout_s: float = 60.0
    """From arrival to the last byte; SageMaker's own limit for an invocation is 60 s."""
    max_body_bytes: int = 1 << 20
    name: str = "millrace"

    VARIABLES: ClassVar[Mapping[str, str]] = {
        "host": "MILLRACE_BIND_HOST",
        "port": "SAGEMAKER_BIND_TO_PORT",
        "workers": "MILLRACE_SERVE_WORKERS",
        "queue": "MILLRACE_SERVE_QUEUE",
        "timeout_s": "MILLRACE_SERVE_TIMEOUT_S",
        "max_body_bytes": "MILLRACE_SERVE_MAX_BODY_BYTES",
        "name": "MILLRACE_MODEL_NAME",
    }

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """InvalidInput for a number that is none."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            if text := env.get(cls.VARIABLES[field.name]):
                values[field.name] = _read(cls.VARIABLES[field.name], text, type(field.default))
        return cls(**values)


def _read(name: str, text: str, kind: type[Any]) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise InvalidInput(f"{name} must be a number, not {text!r}.") from error


class Serves(Protocol):
    """The routes over one model."""

    @property
    def settings(self) -> Machine: ...

    def app(self) -> Starlette: ...


async def body(request: Request, limit: int) -> bytes:
    """The whole of it. TooLarge past `limit` bytes, whatever its header said."""
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > limit:
            raise TooLarge(f"The body is over {limit} bytes.")
    return bytes(read)


def serve(build: Callable[[], Serves]) -> None:
    """Until SIGTERM, which lets running answers end; exits 1 with one sentence where nothing is fit to be served."""
    try:
        server = build()
    except MillraceError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again once it has shut down
    machine = server.settings
    print(json.dumps({"type": "serving", "host": machine.host, "port": machine.port}), flush=True)
    uvicorn.run(
        server.app(),
        host=machine.host,
        port=machine.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
    )
