"""What a trial's process may still do: compute, read its libraries, answer through its pipe. Stdlib only, Linux.

Four layers, each where the kernel has it, none needing root but the first: a network namespace of its own; Landlock
(nothing is written, only libraries are read, no TCP, no signals to others); rlimits (memory, seconds, no files, no
core); seccomp (no sockets, no programs, no processes, no tracing, no mounts). Then the process tries what it must not
be able to do. Where the network stays open, which is neither confined here nor by the executor, no trial runs.
Measured: entering takes 13 ms, nearly all of it the namespace, trying 0.5.
Sources: landlock(7), seccomp(2), linux/filter.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import socket
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from millrace.errors import TrainingFailed

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 38, 22
CLONE_NEWNET, CLONE_THREAD = 0x40000000, 0x10000
OUTSIDE: Final = ("192.0.2.1", 9)
"""TEST-NET-1 (RFC 5737): nobody is there, and a packet to it leaves the machine all the same."""
UNCONFINED: Final = "MILLRACE_TRIALS_UNCONFINED"
"""Set to 1 by the operator of a machine whose kernel confines nothing (macOS): specs are data all the same."""


class Unconfined(TrainingFailed):
    """A trial could reach the network from here."""

    code = "unconfined"


@dataclass(frozen=True)
class Limits:
    memory_bytes: int
    """Beside what the process holds when it enters; 0: no limit (CUDA maps more than there is)."""
    cpu_s: int
    files: int = 256


def enter(limits: Limits, devices: bool = False) -> None:
    """Give up everything that a trial does not need. What the kernel does not know is left out; see `allowed`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.unshare(CLONE_NEWNET)  # only root may; the other layers do without
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _limit(limits)
    if sys.platform == "linux":
        _landlock(libc, devices)
        _seccomp(libc)


def require(forbidden: Path) -> dict[str, bool]:
    """What could still be done, by name. Unconfined where it is the network; `forbidden`: a file not to be read."""
    found = allowed(forbidden)
    open_ways = [way for way in NETWORK if found[way]]
    if open_ways and os.environ.get(UNCONFINED) != "1":
        raise Unconfined(
            f"Trials are not confined on this machine: {', '.join(open_ways)} worked. Run the job in a container "
            f"without network, or set {UNCONFINED}=1 if that is to be so."
        )
    return found


# --- trying -----------------------------------------------------------------------------------------------------------
NETWORK: Final = ("tcp", "udp", "listen")


def allowed(forbidden: Path) -> dict[str, bool]:
    """Each thing that a trial must not do, tried: True where it worked."""
    return {name: _works(lambda attempt=attempt: attempt(forbidden)) for name, attempt in _ATTEMPTS.items()}  # type: ignore[misc]


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _tcp(_: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as out:
        out.settimeout(0.2)
        try:
            out.connect(OUTSIDE)
        except TimeoutError:
            return  # a packet went out, and nobody answered


def _udp(_: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", OUTSIDE)


def _listen(_: Path) -> None:
    """On all addresses: others could come in. Loopback of a namespace of one's own harms nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("", 0))


def _unix(_: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM):
        pass


def _write(forbidden: Path) -> None:
    with (forbidden.parent / ".trial").open("w") as file:
        file.write("x")


def _read(forbidden: Path) -> None:
    forbidden.read_bytes()


def _execute(_: Path) -> None:
    """A process of one's own, and a program in it."""
    child = os.fork()
    if child == 0:
        try:
            os.execv("/bin/true", ["true"])  # noqa: S606 - fixed, and to be refused
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        raise PermissionError("the program did not run")


def _signal(_: Path) -> None:
    os.kill(os.getppid(), 0)


_ATTEMPTS: Final[dict[str, Callable[[Path], None]]] = {
    "tcp": _tcp,
    "udp": _udp,
    "listen": _listen,
    "unix": _unix,
    "write": _write,
    "read": _read,
    "execute": _execute,
    "signal": _signal,
}


# --- rlimits ----------------------------------------------------------------------------------------------------------
def _limit(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, limits.files)
    _lower(resource.RLIMIT_CPU, limits.cpu_s)
    if limits.memory_bytes and sys.platform == "linux":
        _lower(resource.RLIMIT_AS, _mapped() + limits.memory_bytes)


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


# --- Landlock ---------------------------------------------------------------------------------------------------------
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_DIR, _WRITE_FILE = 1 << 0, 1 << 2, 1 << 3, 1 << 1
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""By version: how many file rights it knows."""
_TCP_FROM, _SCOPES_FROM = 4, 6


def readable() -> list[Path]:
    """Where Python, torch and their libraries lie, and what the C library reads of the machine."""
    own = {sys.prefix, sys.base_prefix, *(p for p in sysconfig.get_paths().values() if "site-packages" in p)}
    homes = {str(Path(p).resolve()) for p in own}
    system = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo")
    return [Path(p) for p in (*homes, *system, "/sys/devices/system/cpu", "/dev/null", "/dev/urandom", "/proc/self")]


def _landlock(libc: ctypes.CDLL, devices: bool) -> None:
    version = libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return
    handled = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    net = 3 if version >= _TCP_FROM else 0
    scoped = 3 if version >= _SCOPES_FROM else 0
    size = 24 if version >= _SCOPES_FROM else 16 if version >= _TCP_FROM else 8
    attributes = ctypes.create_string_buffer(struct.pack("QQQ", handled, net, scoped), 24)
    ruleset = libc.syscall(_CREATE, attributes, size, 0)
    if ruleset < 0:
        return
    for path in readable():
        _permit(libc, ruleset, path, _READ_FILE | _READ_DIR | _EXECUTE)
    for path in _devices() if devices else ():
        _permit(libc, ruleset, path, _READ_FILE | _READ_DIR | _WRITE_FILE | (handled & 1 << 15))
    libc.syscall(_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _devices() -> Iterable[Path]:
    """What CUDA opens."""
    return [*Path("/dev").glob("nvidia*"), Path("/dev/shm"), Path("/proc"), Path("/sys")]  # noqa: S108


def _permit(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    with contextlib.suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not path.is_dir():
            rights &= ~_READ_DIR
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place), 12)
        libc.syscall(_ADD, ruleset, 1, rule, 0)
        os.close(place)


# --- seccomp ----------------------------------------------------------------------------------------------------------
_NUMBERS: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "x86_64": (
        0xC000003E,
        {
            **{"socket": 41, "connect": 42, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50, "socketpair": 53},
            **{"fork": 57, "vfork": 58, "execve": 59, "kill": 62, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93},
            **{"ptrace": 101, "setuid": 105, "mount": 165, "umount2": 166, "init_module": 175, "keyctl": 250},
            **{"fchownat": 260, "fchmodat": 268, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304},
            **{"setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313, "bpf": 321},
            **{"execveat": 322, "userfaultfd": 323, "pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434},
            **{"pidfd_getfd": 438},
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            **{"umount2": 39, "mount": 40, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "unshare": 97},
            **{"init_module": 105, "ptrace": 117, "kill": 129, "setuid": 146, "socket": 198, "socketpair": 199},
            **{"bind": 200, "listen": 201, "connect": 203, "sendto": 206, "sendmsg": 211, "keyctl": 219, "execve": 221},
            **{"perf_event_open": 241, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270},
            **{"process_vm_writev": 271, "finit_module": 273, "bpf": 280, "execveat": 281, "userfaultfd": 282},
            **{"pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438},
        },
    ),
}
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = 435
_LOAD, _EQUAL, _SET, _AND_SET, _RETURN = 0x20, 0x15, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _ABSENT, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
"""Run it; EPERM; ENOSYS, after which the C library makes threads by clone; another architecture's call."""


def _filter(machine: str) -> list[tuple[int, int, int, int]]:
    """Classic BPF: (code, jump if true, jump if false, constant)."""
    architecture, numbers = _NUMBERS[machine]
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for number in sorted(numbers.values()):
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    if machine == "x86_64":  # the x32 calls, which have other numbers
        program += [(0x35, 0, 1, 0x40000000), (_RETURN, 0, 0, _REFUSE)]
    program += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ABSENT)]
    program += [(_EQUAL, 0, 3, _CLONE[machine]), (_LOAD, 0, 0, 16), (_AND_SET, 1, 0, CLONE_THREAD)]
    program += [(_RETURN, 0, 0, _REFUSE)]  # a process; a thread jumps over this
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _seccomp(libc: ctypes.CDLL) -> None:
    machine = platform.machine()
    if machine not in _NUMBERS:
        return
    program = _filter(machine)
    raw = b"".join(struct.pack("HBBI", code, yes, no, value) for code, yes, no, value in program)
    held = ctypes.create_string_buffer(raw, len(raw))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(Program(len(program), ctypes.addressof(held))), 0, 0)
