"""Stands between an executor and a container's process: `python confine.py [--isolate] -- COMMAND...`. Stdlib only.

What the process starts dies with it, and all of it dies with whoever started this program, however that ended.
--isolate gives a network namespace with nothing but loopback, and says so on stderr where the kernel refuses.
"""

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from types import FrameType

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
PR_SET_PDEATHSIG = 1
OPEN_FILES = 4096
NICENESS = 5
"""The API of the same two cores stays quick while a model trains."""


def isolate() -> bool:
    """Leave the host's network. As root at once, else by a user namespace of our own."""
    libc = ctypes.CDLL(None, use_errno=True)
    unshare = getattr(libc, "unshare", None)
    if unshare is None:
        return False
    uid, gid = os.getuid(), os.getgid()
    if unshare(CLONE_NEWNET) != 0:
        if unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            return False
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _raise_loopback()
    return True


def _raise_loopback() -> None:
    """`lo` is down in a new namespace; frameworks talk to themselves over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


def signal_at_parents_death(number: int) -> None:
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, number)


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.nice(NICENESS)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")  # when memory runs out, the container goes first
    except OSError:
        pass


def main() -> None:
    cut = sys.argv.index("--")
    command = sys.argv[cut + 1 :]
    parent = os.getppid()

    def orphaned(_number: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os.killpg(0, signal.SIGKILL)

    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, orphaned)
    signal_at_parents_death(signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)  # where the kernel has no such signal
    if "--isolate" in sys.argv[:cut] and not isolate():
        print("This kernel gives no network namespace: the container keeps the host's network.", file=sys.stderr)
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal_at_parents_death(signal.SIGKILL)
        limit()
        os.execvp(command[0], command)  # noqa: S606 - the command is ours, without a shell
    status = os.waitpid(child, 0)[1]
    # Python gives signals their default back while it ends: a tick of the timer then would kill with success in hand.
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
