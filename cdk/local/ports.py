"""Free ports on loopback, for what a process that is still to be started listens on."""

from __future__ import annotations

import secrets
import socket

FIRST, LAST = 20_000, 32_767
"""Below those that Linux gives to outgoing connections, of which one could take the port before its owner does."""
_TRIES = 200


def free_port() -> int:
    """A port that nobody listens on."""
    for _ in range(_TRIES):
        port = FIRST + secrets.randbelow(LAST - FIRST + 1)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"Of {_TRIES} ports from {FIRST} to {LAST} none is free.")
