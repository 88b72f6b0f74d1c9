"""What a trial's process cannot do: tried for real, in a process that stays alive to tell."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training_containers.cnn_search import sandbox
from training_containers.cnn_search.pool import Done, Pool, Say, Task

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
GIB = 1 << 30


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "archive.zip"
    path.write_text("the test split")
    return path


def inside(secret: Path, work: Callable[[Say], Any], **limits: Any) -> Done:
    """One task of one pool; an exception in it is its failure."""
    torch.set_num_threads(1)
    given = {"timeout_s": 20.0, "memory_bytes": 2 * GIB, "weights_bytes": 1000} | limits
    (done,) = Pool(1, secret).run([Task(0, lambda say: work(say), **given)])
    return done


def test_eight_of_eight_ways_out_are_denied(secret: Path) -> None:
    assert sandbox.allowed(secret)["read"] and sandbox.allowed(secret)["write"]  # out here they work

    done = inside(secret, lambda say: say({"type": "tried", **sandbox.allowed(secret)}))

    tried = next(line for line in done.lines if line["type"] == "tried")
    ways = {name: works for name, works in tried.items() if name != "type"}
    assert len(ways) == 8 and not any(ways.values())
    assert not (secret.parent / ".trial").exists() or (secret.parent / ".trial").read_text() == "x"


def test_a_server_that_listens_here_is_never_reached(secret: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def call(say: Say) -> None:
            socket.create_connection(server.getsockname(), timeout=1)

        done = inside(secret, call)

    assert done.error is not None and "PermissionError" in done.error


@pytest.mark.parametrize(
    ("name", "deed"),
    [
        ("a new file", lambda secret: (secret.parent / "new").write_text("x")),
        ("the archive", lambda secret: secret.write_text("x")),
        ("a removed file", lambda secret: secret.unlink()),
        ("a moved file", lambda secret: secret.rename(secret.parent / "moved")),
        ("a folder", lambda secret: (secret.parent / "folder").mkdir()),
        ("a link", lambda secret: (secret.parent / "link").symlink_to("/etc")),
        ("a mode", lambda secret: secret.chmod(0o777)),
        ("the home", lambda secret: list(Path("/root").iterdir()) or list(Path("/home").iterdir())),
        ("the passwords", lambda secret: Path("/etc/passwd").read_text()),
        ("another's environment", lambda secret: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
        ("another's memory", lambda secret: Path(f"/proc/{os.getppid()}/mem").read_bytes()),
        ("a program", lambda secret: os.execv("/bin/true", ["true"])),  # noqa: S606
        ("a process", lambda secret: os.fork()),
        ("a signal to the parent", lambda secret: os.kill(os.getppid(), 9)),
        ("a pair of sockets", lambda secret: socket.socketpair()),
    ],
)
def test_nothing_else_of_the_machine_is_reached(secret: Path, name: str, deed: Callable[[Path], Any]) -> None:
    done = inside(secret, lambda say: deed(secret))

    assert done.error is not None and ("PermissionError" in done.error or "Error" in done.error), name
    assert secret.read_text() == "the test split"


def threaded(secret: Path) -> None:
    def work(say: Say) -> bytes:
        torch.set_num_threads(2)
        threading.Thread(target=lambda: None).start()
        say({"type": "sum", "value": float((torch.ones(300, 300) @ torch.ones(300, 300)).sum())})
        return b"weights"

    done = inside(secret, work)

    assert done.error is None and done.weights == b"weights", done.error
    assert done.lines[1] == {"type": "sum", "value": 300.0**3} and done.memory_bytes > 0


def test_it_can_still_compute_with_threads_and_answer(secret: Path) -> None:
    """In a process that has computed nothing yet, as a container's: a fork loses the threads that OpenMP has begun."""
    root = Path(__file__).parents[3]
    code = f"from {__name__} import threaded; from pathlib import Path; threaded(Path({str(secret)!r}))"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{root}:{root / 'shared'}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("code", "work"),
    [
        ("memory", lambda say: torch.zeros(8 * GIB)),
        ("memory", lambda say: bytearray(16 * GIB)),
        ("crashed", lambda say: os._exit(3)),
        ("crashed", lambda say: os.abort()),
        ("crashed", lambda say: 1 / 0),
        ("crashed", lambda say: b"x" * 2000),  # more than was announced as possible
        ("crashed", lambda say: say({"type": "look", "text": "x" * (3 << 20)})),
    ],
)
def test_every_way_to_break_is_told_in_a_sentence(secret: Path, code: str, work: Callable[[Say], Any]) -> None:
    done = inside(secret, work)

    assert done.code == code and done.error and done.weights is None


def test_one_that_hangs_is_killed_when_its_time_is_over(secret: Path) -> None:
    done = inside(secret, lambda say: threading.Event().wait(), timeout_s=0.3)

    assert done.code == "timeout" and "killed" in str(done.error)


def test_what_lies_on_its_pipe_is_no_answer(secret: Path) -> None:
    def lie(say: Say) -> None:
        os.write(_pipe(), b"not json\n" * 10)
        threading.Event().wait(5)

    assert inside(secret, lie).code == "crashed"


def _pipe() -> int:
    """The writing end that the child was given."""
    import stat

    return max(fd for fd in range(3, 64) if _is(fd, stat.S_ISFIFO))


def _is(fd: int, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(os.fstat(fd).st_mode) and os.get_blocking(fd)
    except OSError:
        return False


def test_where_the_network_stays_open_no_trial_runs(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a kernel that knows none of the layers: the trial fails closed, unless the operator said otherwise."""
    monkeypatch.setattr(sandbox, "enter", lambda limits, devices=False: None)

    refused = inside(secret, lambda say: None)
    monkeypatch.setenv(sandbox.UNCONFINED, "1")
    allowed = inside(secret, lambda say: None)

    assert refused.code == "unconfined" and "without network" in str(refused.error)
    assert allowed.error is None and allowed.lines[0]["allowed"]["udp"]


def children() -> set[str]:
    """Processes that this one has begun and that are not gone."""
    found = set[str]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found.add(stat.parent.name)
    return found


def test_a_stop_kills_what_still_runs(secret: Path) -> None:
    """Which would else wait for ever, and so would whoever waits for it."""
    torch.set_num_threads(1)
    before = children()
    tasks = [Task(n, lambda say, n=n: threading.Event().wait(None if n else 0.01), 60, 2 * GIB) for n in range(3)]
    pool = Pool(3, secret)

    done = pool.run(tasks, enough=lambda done: True)
    pool.settle()

    assert [one.key for one in done] == [0]
    assert children() <= before
