"""Reaching a server that has no network but its own loopback: a socket made inside its network namespace.

A socket belongs to the namespace in which it was made, and a namespace is entered by thread: so a thread enters,
connects and ends, and the socket stays. Needs the rights that making the namespace needed (root).
"""

from __future__ import annotations

import ctypes
import functools
import http.client
import os
import socket
import threading

CLONE_NEWNET = 0x40000000


@functools.cache
def isolation_reachable() -> bool:
    """Whether this process may make and enter network namespaces: tried once, in a thread that ends."""
    tried: list[bool] = []

    def leave() -> None:
        unshare = getattr(ctypes.CDLL(None), "unshare", None)
        tried.append(unshare is not None and os.path.exists("/proc/self/ns/net") and unshare(CLONE_NEWNET) == 0)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    return tried[0]


def connect(port: int, pid: int | None, timeout_s: float) -> socket.socket:
    """A connection to loopback `port` of the namespace of process `pid`; of our own where pid is None."""
    if pid is None:
        return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def enter() -> None:
        try:
            with open(f"/proc/{pid}/ns/net") as namespace:
                if os.fstat(namespace.fileno()).st_ino == os.stat("/proc/self/ns/net").st_ino:
                    raise ConnectionRefusedError("the process has not left our network yet")
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns refused")
            made.append(socket.create_connection(("127.0.0.1", port), timeout=timeout_s))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


class Connection(http.client.HTTPConnection):
    """HTTP over `connect`."""

    def __init__(self, port: int, pid: int | None, timeout_s: float) -> None:
        super().__init__("127.0.0.1", port, timeout=timeout_s)
        self._pid = pid
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = connect(self.port, self._pid, self._timeout_s)
